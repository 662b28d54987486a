"""The map as a whole: a known scene after mapping, ids, the limit of Gaussians, files and determinism."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from checkered_room import CAMERA, SMALL, mapped, pose, room_view

from echoseg_ros.errors import MapFileError
from echoseg_ros.mapping.keyframes import reduced
from echoseg_ros.mapping.mapper import Mapper

# Alpha above which the consumers of the map use a pixel (masks/surface.py, Mapper).
TRUSTED_ALPHA = 0.8


@pytest.fixture(scope="module")
def mapper() -> Mapper:
    return mapped()


def test_unseen_view_is_predicted(mapper: Mapper) -> None:
    """A view between the keyframes: colour, depth to a centimetre, and the box's edge within a pixel."""
    frame = room_view(99, pose(-0.07, 0.45))
    assert mapper.psnr_db(frame) > 24.0
    small = reduced(frame, 80)
    drawn = mapper.render(small.camera, small.T_map_camera)
    assert small.depth_m is not None
    error = np.abs(drawn.depth.numpy() - small.depth_m)
    assert np.median(error) < 0.01
    assert float((drawn.alpha > TRUSTED_ALPHA).float().mean()) > 0.85
    is_box = small.depth_m < 1.5
    assert ((drawn.depth.numpy() < 1.5) != is_box).sum() < 0.6 * (is_box[:, 1:] != is_box[:, :-1]).sum() + 40


def test_lifting_tells_box_from_wall(mapper: Mapper) -> None:
    """With true labels, nearly all of the weight of a Gaussian has the label of its own surface."""
    frame = reduced(room_view(99, pose(0.05)), 80)
    assert frame.depth_m is not None
    labels = (frame.depth_m < 1.5).astype(np.int32)
    lifted = mapper.lift(frame.camera, frame.T_map_camera, labels, 2)
    on_box = mapper.gaussians.means[:, 1] < 1.6
    assert len(lifted) == len(mapper.gaussians)
    assert float(lifted[on_box, 1].sum()) > 0.9 * float(lifted[:, 1].sum())
    assert float(lifted[~on_box, 0].sum()) > 0.9 * float(lifted[:, 0].sum())


def test_runs_repeat_bit_by_bit(mapper: Mapper) -> None:
    again = mapped()
    for (name, a), (_, b) in zip(mapper.gaussians.items(), again.gaussians.items(), strict=True):
        assert torch.equal(a, b), name
    assert torch.equal(mapper.gaussians.uids, again.gaussians.uids)


def test_file_round_trip_keeps_view_and_fields(mapper: Mapper, tmp_path: Path) -> None:
    ids = np.arange(len(mapper.gaussians), dtype=np.int32) % 5 - 1
    mapper.save(tmp_path / "map.ply", ids, np.linspace(0, 1, len(ids), dtype=np.float32))
    other = Mapper(SMALL)
    extra = other.load(tmp_path / "map.ply")
    np.testing.assert_array_equal(extra["instance_id"], ids)
    assert extra["audio_intensity"][-1] == 1.0
    a, b = (m.render(CAMERA, pose(0.0)) for m in (mapper, other))
    torch.testing.assert_close(a.rgb, b.rgb, atol=1e-5, rtol=0)
    other.add_frame(room_view(0, pose(0.1)))
    other.optimise(2)
    assert other.psnr_db(room_view(1, pose(0.0))) > 20


def test_a_damaged_file_does_not_change_the_map(mapper: Mapper, tmp_path: Path) -> None:
    (tmp_path / "map.ply").write_bytes(b"ply\n")
    before = len(mapper.gaussians)
    with pytest.raises(MapFileError, match="not a PLY"):
        mapper.load(tmp_path / "map.ply")
    assert len(mapper.gaussians) == before > 0


def test_surface_sample_is_bounded_and_on_the_surface(mapper: Mapper) -> None:
    points, rgb, uids = mapper.surface_sample(300)
    assert points.shape == (300, 3) and rgb.shape == (300, 3) and rgb.dtype == np.uint8 and uids.dtype == np.int64
    assert (np.diff(uids) > 0).all()
    assert np.median(np.minimum(np.abs(points[:, 1] - 2.0), np.abs(points[:, 1] - 1.2))) < 0.01


def test_the_limit_holds_and_uids_rise() -> None:
    mapper = mapped(SMALL.updated({"map.max_gaussians": 500}), steps=3)
    uids = mapper.gaussians.uids
    assert len(mapper.gaussians) <= 500 and bool((uids[1:] > uids[:-1]).all()) and int(uids[-1]) >= 500
    mapper.clear()
    assert len(mapper.gaussians) == 0
    mapper.add_frame(room_view(0, pose(0.0)))
    assert int(mapper.gaussians.uids[0]) > int(uids[-1])


def test_warm_up_does_not_change_the_map() -> None:
    mapper = Mapper(SMALL)
    mapper.warm_up()
    assert len(mapper.gaussians) == 0


def test_dropped_keyframes_are_removed() -> None:
    """Memory for keyframes is bounded by keyframes.max_count, however long the run."""
    mapper = Mapper(SMALL.updated({"keyframes.max_count": 3}))
    for i in range(6):
        mapper.add_frame(room_view(i, pose(-0.3 + 0.15 * i)))
        mapper.optimise(1)
    assert len(mapper._keyframes) == 3 and len(mapper._optimizer.exposures) == 3
