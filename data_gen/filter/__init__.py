# SPDX-License-Identifier: GPL-3.0-or-later
"""Which animations become clips: how they move, measured in the asset's own size, and what decides."""
