# SPDX-License-Identifier: GPL-3.0-or-later
"""Prepares a Blender for being driven: no splash, no animated views, and the backend's Python chosen."""

import os

import bpy

preferences = bpy.context.preferences
preferences.view.show_splash = False
preferences.view.smooth_view = 0
preferences.system.viewport_aa = "FXAA"  # one drawing in place of eight: a processor draws here
preferences.view.show_developer_ui = True
preferences.use_preferences_save = False
addon = preferences.addons["bl_ext.user_default.puppet_master"].preferences
addon.backend_python = os.environ["PM_PYTHON"]
bpy.ops.wm.save_userpref()
