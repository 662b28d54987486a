"""Primitives against closed forms; the sign of the volume checks that the faces look outwards."""

from __future__ import annotations

import numpy as np
import pytest

from echoseg_sim.rooms.mesh import Material, Mesh, ball, box, extent, lathe, merge, placed, quad, tube, with_top_forward

PAINT = Material(np.full((4, 4, 3), 200, dtype=np.uint8))


def signed_volume(mesh: Mesh) -> float:
    a, b, c = (mesh.vertices[mesh.triangles[:, i]] for i in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


def test_box_has_its_volume_and_stands_on_its_base() -> None:
    mesh = box((0.4, 0.3, 0.2), (1.0, 2.0, 0.5), PAINT)
    assert signed_volume(mesh) == pytest.approx(0.024, rel=1e-9)
    low, high = extent(mesh)
    np.testing.assert_allclose(low, [0.8, 1.85, 0.5], atol=1e-12)
    np.testing.assert_allclose(high, [1.2, 2.15, 0.7], atol=1e-12)


def test_lathe_makes_a_cylinder() -> None:
    mesh = lathe([(0, 0), (0.1, 0), (0.1, 0.5), (0, 0.5)], PAINT, segments=90)
    assert signed_volume(mesh) == pytest.approx(np.pi * 0.01 * 0.5, rel=0.002)
    side = np.abs(mesh.normals[:, 2]) < 0.5
    outward = mesh.vertices[side] * [10, 10, 0]
    np.testing.assert_allclose(mesh.normals[side], outward, atol=1e-9)


def test_ball_and_its_normals() -> None:
    mesh = ball(0.2, (1, 0, 0), PAINT, segments=60)
    assert signed_volume(mesh) == pytest.approx(4 / 3 * np.pi * 0.008, rel=0.01)
    np.testing.assert_allclose(mesh.normals, (mesh.vertices - [1, 0, 0]) / 0.2, atol=0.08)


def test_tube_winds_outwards() -> None:
    mesh = tube([(0, 0, 0), (0, 0, 1)], 0.1, PAINT, 64)
    corners = mesh.vertices[mesh.triangles]
    winding = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((winding * mesh.normals[mesh.triangles[:, 0]]).sum(axis=1) > 0).all()


def test_tipped_top_looks_forward() -> None:
    mesh = with_top_forward(lathe([(0.1, 0), (0.1, 0.3)], PAINT))
    low, high = extent(mesh)
    np.testing.assert_allclose([low[0], high[0]], [0, 0.3], atol=1e-12)


def test_merge_keeps_a_shared_material_once() -> None:
    other = Material(PAINT.image)
    mesh = merge([quad((0, 0, 0), (1, 0, 0), (0, 1, 0), PAINT), quad((0, 0, 1), (1, 0, 0), (0, 1, 0), other),
                  quad((0, 0, 2), (1, 0, 0), (0, 1, 0), PAINT)])  # fmt: skip
    assert len(mesh.materials) == 2
    top = mesh.vertices[mesh.triangles[mesh.material_ids == 1]]
    np.testing.assert_allclose(top[..., 2], 1.0)


def test_placed_scales_turns_then_moves() -> None:
    mesh = placed(quad((0, 0, 0), (1, 0, 0), (0, 1, 0), PAINT), (5, 0, 0), np.pi / 2, (2, 1, 1))
    low, high = extent(mesh)
    np.testing.assert_allclose(low, [4, 0, 0], atol=1e-12)
    np.testing.assert_allclose(high, [5, 2, 0], atol=1e-12)
