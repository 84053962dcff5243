# SPDX-License-Identifier: GPL-3.0-or-later
"""The training room: data, VAE, diffusion, evaluation. It publishes model folders that the backend loads."""
