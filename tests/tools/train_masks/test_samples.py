"""Training samples: targets in closed form, and the same sample for the same random generator."""

from __future__ import annotations

import numpy as np
import pytest

from echoseg_ros.masks.network.model import MULTIPLE_PX, OFFSET_UNIT_PX
from echoseg_ros.types import Camera
from train_masks.samples import CROP_PX, View, make_sample, targets


def view_of_a_box() -> View:
    """A wall at 3 m with a box of 60 x 40 px at 2 m, in a view of 250 x 190 px."""
    ids = np.zeros((190, 250), np.int8)
    ids[70:110, 100:160] = 1
    rgb = np.full((190, 250, 3), 90, np.uint8)
    depth_m = np.where(ids == 1, 2.0, 3.0).astype(np.float16)
    return View(Camera(250, 190, 200.0, 200.0, 125.0, 95.0), rgb, depth_m, ids, np.eye(4))


def test_votes_point_to_the_centre_of_the_object() -> None:
    ids = np.zeros((40, 60), np.int8)
    ids[10:20, 20:40] = 2
    target, weight, votes, vote_weight = targets(ids)
    np.testing.assert_array_equal(target, ids == 2)
    assert (weight > 0).all()
    # The pixels' mean coordinates are (29.5, 14.5); the votes belong to the centres of 2 x 2 pixels.
    assert votes[0, 5, 10] * OFFSET_UNIT_PX == pytest.approx(29.5 - 20.5, abs=1e-4)
    assert votes[1, 5, 10] * OFFSET_UNIT_PX == pytest.approx(14.5 - 10.5, abs=1e-4)
    assert np.exp(votes[2, 5, 10]) * OFFSET_UNIT_PX == pytest.approx(np.sqrt(200), rel=1e-5)
    np.testing.assert_array_equal(vote_weight > 0, ids[::2, ::2] == 2)


def test_small_objects_have_no_weight() -> None:
    ids = np.zeros((40, 60), np.int8)
    ids[10:13, 20:23] = 1
    _, weight, _, vote_weight = targets(ids)
    assert (weight[ids == 1] == 0).all() and (vote_weight == 0).all()


@pytest.mark.parametrize("full_view", [False, True])
def test_sample_has_its_shape_and_repeats(full_view: bool) -> None:
    view = view_of_a_box()
    sample, again = (make_sample(view, np.random.default_rng(3), full_view) for _ in range(2))
    height, width = sample.target.shape
    assert (height, width) == (CROP_PX, CROP_PX) if not full_view else height % MULTIPLE_PX == width % MULTIPLE_PX == 0
    assert sample.inputs.shape[1:] == (height, width) and sample.votes.shape == (3, height // 2, width // 2)
    assert np.isfinite(sample.inputs).all()
    for name in ("inputs", "target", "weight", "votes", "vote_weight"):
        np.testing.assert_array_equal(getattr(sample, name), getattr(again, name))
