"""Boundaries of instances from votes that err alike in every view, and from colours."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from echoseg_ros.objects.boundary import refine_boundary

SIDE = 40
Rgb = tuple[int, int, int]
RED: Rgb = (170, 40, 40)
WHITE: Rgb = (220, 220, 215)


class Wall:
    """A red square on a white wall, Gaussians a centimetre apart with noise in their colours."""

    def __init__(self, object_rgb: Rgb = RED, wall_rgb: Rgb = WHITE) -> None:
        rng = np.random.default_rng(0)
        y, z = (part.ravel() for part in np.mgrid[:SIDE, :SIDE] * 0.01)
        self.points = np.column_stack([rng.normal(0, 0.002, y.size), y, z]).astype(np.float32)
        self.true = (np.abs(y - 0.195) < 0.081) & (np.abs(z - 0.195) < 0.081)
        self.y = y
        colour = np.where(self.true[:, None], object_rgb, wall_rgb) + rng.normal(0, 8, (y.size, 3))
        self.rgb = np.clip(colour, 0, 255).astype(np.uint8)
        self.judgements = np.full(y.size, 5.0, np.float32)

    def refined(self, shares: NDArray[np.floating], open_: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
        """[N] members after refinement, for shares of the judgements [N]; members by votes have more than one half."""
        share = np.asarray(shares, np.float32)
        member = share > 0.5
        open_ = np.ones(len(share), bool) if open_ is None else open_
        rows = refine_boundary(self.points, self.rgb, member, open_, share, self.judgements)
        found = np.zeros(len(share), bool)
        found[rows] = True
        return found


def iou(found: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    return float((found & true).sum() / (found | true).sum())


def test_a_strip_of_wall_with_votes_for_the_object_is_removed() -> None:
    """Regression: beside an object a plain wall has no depth of its own; masks of all views included a strip of it."""
    wall = Wall()
    strip = ~wall.true & (np.abs(wall.y - 0.29) < 0.021) & (np.abs(wall.points[:, 2] - 0.195) < 0.081)
    shares = np.where(wall.true, 0.9, np.where(strip, 0.7, 0.0))
    assert iou(shares > 0.5, wall.true) < 0.82
    assert iou(wall.refined(shares), wall.true) > 0.97


def test_a_part_without_votes_is_added_unless_another_instance_owns_it() -> None:
    wall = Wall()
    missed = wall.true & (wall.y < 0.15)
    shares = np.where(missed, 0.3, np.where(wall.true, 0.9, 0.0))
    assert iou(shares > 0.5, wall.true) < 0.85
    assert iou(wall.refined(shares), wall.true) > 0.97
    np.testing.assert_array_equal(wall.refined(shares, ~missed), wall.true & ~missed)


@pytest.mark.parametrize("outer_share", [0.0, 0.3])
def test_votes_decide_where_colours_are_equal(outer_share: float) -> None:
    wall = Wall(WHITE, WHITE)
    shares = np.where(wall.true, 0.8, outer_share)
    found = wall.refined(shares)
    assert iou(found, wall.true) > 0.95


def test_few_gaussians_are_not_refined() -> None:
    points = np.zeros((6, 3), np.float32)
    member = np.arange(6) < 4
    rows = refine_boundary(
        points, np.zeros((6, 3), np.uint8), member, ~member, member.astype(np.float32), np.ones(6, np.float32)
    )
    np.testing.assert_array_equal(rows, np.flatnonzero(member))
