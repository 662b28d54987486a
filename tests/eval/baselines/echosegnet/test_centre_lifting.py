"""Votes of the train views against a case computed by hand."""

from __future__ import annotations

import numpy as np
from half_mask import CAMERA, HALF

from echoseg_ros.eval.baselines.echosegnet.centre_lifting import OUTSIDE, centre_pixels, vote_lift


def test_votes_count_views_that_see_the_centre_whatever_stands_before_it() -> None:
    # In front, behind it on the same ray, beside the image, behind the camera.
    points = np.array([[-0.1, 0, 1.0], [-0.3, 0, 3.0], [2.0, 0, 1.0], [0, 0, -1.0]])
    pixels = centre_pixels(points, [CAMERA] * 10, [np.eye(4)] * 10)
    assert pixels[0].tolist() == [10 * 20 + 8, 10 * 20 + 8, OUTSIDE, OUTSIDE]
    empty = np.zeros_like(HALF)
    assert vote_lift(pixels, [HALF] * 4 + [empty] * 6).tolist() == [True, True, False, False]
    assert not vote_lift(pixels, [HALF] * 3 + [empty] * 7).any()  # 0.3 is not more than 0.3
    # A view without a mask does not vote.
    assert vote_lift(pixels, [HALF] * 3 + [None] * 7).tolist() == [True, True, False, False]
