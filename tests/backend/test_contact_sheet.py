# SPDX-License-Identifier: GPL-3.0-or-later
"""The contact sheet, looked at pixel by pixel."""

import numpy as np
import pytest
from puppet_master.backend.contact_sheet import (
    BACKGROUND,
    CAPTION,
    CELL,
    GAP,
    MARGIN,
    PALETTE,
    cell_origin,
    contact_sheet,
)
from puppet_master.backend.protocol import Drag, DragPoint


def grey(count, height=64, width=64):
    """Frames of one grey each, brighter from frame to frame."""
    return np.stack([np.full((height, width, 3), 60 + 5 * i, np.uint8) for i in range(count)])


def drag(*places, name="part", ease="linear"):
    times = np.linspace(0, 1, len(places))
    return Drag(name, tuple(DragPoint(t, x, y) for t, (x, y) in zip(times, places, strict=True)), ease)


def cell(sheet, index, columns, height=CELL, width=CELL):
    left, top = cell_origin(index, columns, width, height)
    return sheet[top : top + height, left : left + width]


def near(pixel, colour, within=12):
    return np.abs(pixel.astype(int) - colour).max() <= within


@pytest.mark.parametrize("count, columns, rows", [(2, 2, 1), (7, 7, 1), (14, 7, 2), (25, 7, 4), (8, 4, 2)])
def test_frames_stand_side_by_side_in_order(count, columns, rows):
    sheet = contact_sheet(grey(count), [])
    assert sheet.shape == (
        2 * MARGIN + CAPTION + rows * (CELL + CAPTION) + (rows - 1) * GAP,
        2 * MARGIN + columns * CELL + (columns - 1) * GAP,
        3,
    )
    for index in range(count):
        assert (cell(sheet, index, columns) == 60 + 5 * index).all()
    for edge in (sheet[: MARGIN - 8], sheet[-MARGIN + 8 :], sheet[:, :MARGIN], sheet[:, -MARGIN:]):
        assert (edge == BACKGROUND).all()


def test_each_frame_has_a_number_below():
    sheet = contact_sheet(grey(3), [])
    for index in range(3):
        left, top = cell_origin(index, 3, CELL, CELL)
        label = sheet[top + CELL : top + CELL + CAPTION, left : left + 20]
        assert (label != BACKGROUND).any()


def test_aspect_is_kept_and_long_clips_get_small_cells():
    wide = contact_sheet(grey(2, height=36, width=64), [])
    assert (cell(wide, 1, 2, height=144) == 65).all()
    many = contact_sheet(grey(50, height=8, width=8), [])
    assert many.shape[1] == 2 * MARGIN + 7 * 128 + 6 * GAP


def test_a_drag_is_drawn_on_the_first_frame_only_from_start_to_arrow_head():
    sheet = contact_sheet(grey(2), [drag((0.25, 0.5), (0.75, 0.5))])
    first, second = cell(sheet, 0, 2), cell(sheet, 1, 2)
    assert (second == 65).all()
    assert near(first[128, 64], PALETTE[0])  # the start's dot
    assert near(first[128, 128], PALETTE[0])  # the path's middle
    assert near(first[128, 188], PALETTE[0])  # within the head
    assert near(first[128, 200], (60, 60, 60))  # beyond the tip
    # The head is broader than the line.
    assert near(first[124, 182], PALETTE[0])
    assert near(first[120, 128], (60, 60, 60))


def test_the_path_has_a_light_halo_and_soft_edges():
    sheet = contact_sheet(grey(2), [drag((0.2, 0.3), (0.8, 0.7))])
    first = cell(sheet, 0, 2)
    assert (first.min(axis=2) > 190).any()
    column = first[:, 128]
    assert len(np.unique(column, axis=0)) > 4  # more than ground, halo and ink: anti-aliased


def test_the_arrow_points_along_the_end_of_a_bent_path():
    sheet = contact_sheet(grey(2), [drag((0.2, 0.2), (0.8, 0.2), (0.8, 0.8))])
    first = cell(sheet, 0, 2)
    tip = (205, 205)
    # Nine pixels above the tip the head is broader than the line, to both sides.
    assert near(first[tip[0] - 9, tip[1] - 3], PALETTE[0])
    assert near(first[tip[0] - 9, tip[1] + 2], PALETTE[0])


def test_a_pin_is_a_ringed_dot():
    first = cell(contact_sheet(grey(2), [drag((0.5, 0.5), (0.5, 0.5))]), 0, 2)
    assert near(first[128, 128], PALETTE[0])  # dot
    assert first[128, 128 + 5].min() > 150  # light ring around it
    assert near(first[128, 128 + 7], PALETTE[0])  # coloured ring
    assert near(first[128, 128 + 14], (60, 60, 60))


def test_drags_have_colours_of_their_own_and_a_legend():
    drags = [drag((0.1, y), (0.9, y), name=f"part {y}") for y in (0.25, 0.5, 0.75)]
    sheet = contact_sheet(grey(7), drags, "a caption")
    first = cell(sheet, 0, 7)
    legend = sheet[: MARGIN + CAPTION - 2]
    for index, y in enumerate((64, 128, 192)):
        assert near(first[y, 128], PALETTE[index])
        assert (np.abs(legend.astype(int) - PALETTE[index]).max(axis=2) <= 3).any()


def test_a_path_that_leaves_the_still_stays_in_its_cell():
    sheet = contact_sheet(grey(2), [drag((0.5, 0.5), (1.8, 0.5))])
    first = cell(sheet, 0, 2)
    assert near(first[128, 250], PALETTE[0])
    left, top = cell_origin(0, 2, CELL, CELL)
    assert (sheet[top : top + CELL, left + CELL : left + CELL + GAP] == BACKGROUND).all()


@pytest.mark.parametrize("places", [((0, 0), (1, 1)), ((1, 1), (1, 0.999)), ((0.5, 0.5), (0.5005, 0.5))])
def test_extreme_drags_are_drawn_without_a_fault(places):
    first = cell(contact_sheet(grey(2), [drag(*places, ease="smooth")]), 0, 2)
    assert (first != 60).any()


def test_many_drags_and_long_names_are_drawn_as_far_as_they_fit():
    drags = [drag((0.1, 0.1), (0.2, 0.2), name=f"a rather long name of drag {i}") for i in range(30)]
    assert contact_sheet(grey(2), drags, "caption").shape[1] == 2 * MARGIN + 2 * CELL + GAP
