# SPDX-License-Identifier: GPL-3.0-or-later
"""The data room: procedural rigs, import, rendering, point tracks and drags, through Blender as a library."""
