# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that are handed one piece of work after another, here or on a Ray cluster, and what is kept of it.

Data generation and batches of previews both work with them. stdlib only, so that Blender's Python can, too.
"""
