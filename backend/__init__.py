# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend room: model, pipeline, job queue, HTTP server, command line. It never imports bpy.

Importing this package loads nothing heavy: Blender imports the protocol part (`protocol`, `errors`,
`client`, `process`: stdlib + numpy) from here without torch.
"""
