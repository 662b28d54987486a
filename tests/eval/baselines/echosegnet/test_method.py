"""Masks of the selected Gaussians."""

from __future__ import annotations

import numpy as np
from half_mask import CAMERA, gaussians

from echoseg_ros.eval.baselines.echosegnet.method import ReferenceMask
from echoseg_ros.mapping.rasterizers.factory import make_rasterizer


def test_selected_gaussians_are_rendered_alone_and_visible_through_walls() -> None:
    found = ReferenceMask(np.array([True]), gaussians([[0.0, 0.0, 3.0]], [[0.3, 0.3, 0.3]]))
    mask = found.mask(make_rasterizer("numba"), CAMERA, np.eye(4))
    assert mask[10, 10] and not mask[0, 0]  # the map's wall before it is not rendered
    faint = ReferenceMask(np.array([True]), gaussians([[0.0, 0.0, 3.0]], [[0.3, 0.3, 0.3]], 1.0))  # opacity 0.73
    assert not faint.mask(make_rasterizer("numba"), CAMERA, np.eye(4)).any()
    nothing = ReferenceMask(np.array([False]), gaussians([[0.0, 0.0, 3.0]], [[0.3] * 3]).map(lambda t: t[:0]))
    assert not nothing.mask(make_rasterizer("numba"), CAMERA, np.eye(4)).any()
