# SPDX-License-Identifier: GPL-3.0-or-later
"""The motion field's form: what holds whatever its weights are."""

from __future__ import annotations

import pytest
import torch
from puppet_master.backend.model.motion_field import DragMaps, DragTokens, MotionField

FRAMES = 6


@pytest.fixture(scope="module")
def field() -> MotionField:
    """A small one with weights far from its beginning, so that every part of it counts."""
    torch.manual_seed(0)
    field = MotionField(size=32, channels=(8, 16), key_times=5, token_channels=16, embedding_channels=8).eval()
    for parameter in field.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return field


def a_still(size: int = 32) -> torch.Tensor:
    return torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def straight(*ends: tuple[tuple[float, float], tuple[float, float]], frames: int = FRAMES) -> torch.Tensor:
    time = torch.linspace(0, 1, frames)[:, None]
    return torch.stack([torch.tensor(a) * (1 - time) + torch.tensor(b) * time for a, b in ends])[None]


def predict(field, drags, mask=None, size=32):
    mask = torch.ones(drags.shape[:2], dtype=torch.bool) if mask is None else torch.tensor([mask])
    with torch.no_grad():
        return field(a_still(size), drags, mask)


def test_shapes_follow_the_still_and_the_frames(field):
    for size, frames in ((32, 6), (64, 9)):
        motion = predict(field, straight(((0.2, 0.2), (0.6, 0.3)), frames=frames), size=size)
        assert motion.displacement.shape == (1, frames - 1, 2, size, size)
        assert motion.depth.shape == (1, frames - 1, size, size)
        assert motion.moving.shape == (1, size, size) and 0 <= motion.moving.min() <= motion.moving.max() <= 1


def test_with_no_drags_nothing_moves(field):
    motion = predict(field, straight(((0.2, 0.2), (0.6, 0.3)), ((0.7, 0.7), (0.1, 0.1))), [False, False])
    assert (motion.displacement == 0).all() and (motion.moving == 0).all()


def test_with_pins_alone_nothing_moves(field):
    motion = predict(field, straight(((0.2, 0.2), (0.2, 0.2)), ((0.7, 0.7), (0.7, 0.7))))
    assert motion.displacement.abs().max() < 1e-6 and (motion.moving == 0).all()


def test_slots_that_are_no_drags_change_nothing(field):
    one = straight(((0.2, 0.2), (0.6, 0.3)))
    more = straight(((0.2, 0.2), (0.6, 0.3)), ((0.9, 0.1), (0.4, 0.4)))
    torch.testing.assert_close(predict(field, one).displacement, predict(field, more, [True, False]).displacement)


def test_the_order_of_drags_does_not_matter(field):
    ends = ((0.2, 0.2), (0.6, 0.3)), ((0.7, 0.7), (0.7, 0.4)), ((0.5, 0.1), (0.5, 0.1))
    first, second = predict(field, straight(*ends)), predict(field, straight(*ends[::-1]))
    torch.testing.assert_close(first.displacement, second.displacement, atol=1e-5, rtol=1e-4)


def test_a_clip_in_more_frames_is_the_same_motion_looked_at_more_often(field):
    few, many = (predict(field, straight(((0.2, 0.2), (0.6, 0.3)), frames=frames)) for frames in (6, 11))
    torch.testing.assert_close(few.displacement, many.displacement[:, 1::2], atol=1e-5, rtol=1e-4)


def test_some_frames_are_predicted_as_among_all(field):
    drags = torch.cat([straight(((0.2, 0.2), (0.6, 0.3))), straight(((0.7, 0.7), (0.7, 0.2)))])
    still, mask = a_still().expand(2, -1, -1, -1), torch.ones(2, 1, dtype=torch.bool)
    frames = torch.tensor([[1, 5], [2, 4]])
    with torch.no_grad():
        few, all_of_them = field(still, drags, mask, frames), field(still, drags, mask)
    for index, chosen in enumerate(frames):
        torch.testing.assert_close(few.displacement[index], all_of_them.displacement[index, chosen - 1])
        torch.testing.assert_close(few.depth[index], all_of_them.depth[index, chosen - 1])
    torch.testing.assert_close(few.moving, all_of_them.moving)


def test_a_drag_that_waits_waits(field):
    drags = straight(((0.2, 0.2), (0.6, 0.3)))
    drags[:, :, :4] = drags[:, :, :1]
    assert (predict(field, drags).displacement[:, :3] == 0).all()
    assert predict(field, drags).displacement[:, 3:].abs().max() > 0


def test_a_drags_field_is_strongest_where_it_starts():
    drags = straight(((0.25, 0.25), (0.5, 0.25)), ((0.75, 0.75), (0.75, 0.75)))
    maps = DragMaps.draw(drags, torch.tensor([[True, True]]), 16)
    assert maps.shape == (1, DragMaps.CHANNELS, 16, 16)
    assert maps[0, 0, 4, 4] > 0.2 and maps[0, 0, 12, 12] > 0.2 and maps[0, 0, 0, 15] < 1e-6
    end_x = maps[0, 2 + 6]
    assert end_x[4, 4] == pytest.approx(4 * 0.25, abs=0.01) and abs(float(end_x[12, 12])) < 0.01


def test_tokens_read_paths_whatever_their_number_of_frames():
    torch.manual_seed(0)
    tokens = DragTokens(5, 16)
    one, other = (straight(((0.1, 0.2), (0.9, 0.4)), frames=frames) for frames in (6, 26))
    mask = torch.tensor([[True]])
    torch.testing.assert_close(tokens(one, mask), tokens(other, mask))
    assert (tokens(one, ~mask) == 0).all()


def test_it_is_saved_and_loaded_with_its_configuration(field, tmp_path):
    field.save_pretrained(tmp_path)
    loaded = MotionField.from_pretrained(tmp_path, local_files_only=True)
    drags = straight(((0.2, 0.2), (0.6, 0.3)))
    torch.testing.assert_close(predict(loaded, drags).displacement, predict(field, drags).displacement)
