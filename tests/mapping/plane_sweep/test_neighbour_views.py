"""Selection of neighbour views for the plane sweep."""

from __future__ import annotations

import pytest
from known_depth import depth_of
from sweep_scene import CAMERA, path, view

from echoseg_ros import geometry
from echoseg_ros.mapping.keyframes import Keyframe
from echoseg_ros.mapping.plane_sweep.neighbour_views import best_neighbours


@pytest.fixture(scope="module")
def views() -> list[Keyframe]:
    return path()


def test_neighbours_have_parallax_and_show_the_same_surface(views: list[Keyframe]) -> None:
    points = geometry.backproject(CAMERA, depth_of(views[3]))[::8, ::8].reshape(-1, 3)
    away = view(10, (0.2, 0, 0), 70.0)
    close = view(11, (0.001, 0, 0))
    chosen = best_neighbours(views[3], [*(v for v in views if v.id != 3), away, close], points, 4)
    assert len(chosen) == 4
    assert {10, 11}.isdisjoint(keyframe.id for keyframe in chosen)
