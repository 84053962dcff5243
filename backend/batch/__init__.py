# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches of previews: a job file becomes previews, here, on a Ray cluster, or task by task on a farm.

    job_file, entries  what was ordered, and what in it cannot be read
    track_files        drags in other programs' formats
    plan               one planned preview for each variation, with its name and its content hash
    run                works off a plan: stills in Blender while the model makes previews; keeps the ledger
    places, ray_places where that happens
    maker, outputs     inside a worker: previews into files
    merge, page        one ledger and one page of many tasks
    command            `puppet-master batch`
"""
