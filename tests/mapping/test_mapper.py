"""The map as a whole: what a known scene looks like after mapping, identities, the cap, files, determinism."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from checkered_room import CAMERA, SMALL, mapped, pose, room_view

from echoseg_ros import geometry
from echoseg_ros.config import KeyframeConfig
from echoseg_ros.errors import MapFileError
from echoseg_ros.mapping.exposure import Exposure, Exposures, fitted_exposure
from echoseg_ros.mapping.keyframes import (
    Keyframe,
    KeyframeReason,
    KeyframeSelector,
    KeyframeStore,
    reduced,
    reduced_depth,
    reduced_rgb,
)
from echoseg_ros.mapping.mapper import Mapper

# Of a pixel that is covered less than this the map's consumers believe nothing (masks/surface.py, Mapper).
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
    """Weights of true labels: nearly all of each Gaussian's weight falls on the thing it lies on."""
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


def test_damaged_file_leaves_the_map(mapper: Mapper, tmp_path: Path) -> None:
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


def test_cap_holds_and_uids_rise() -> None:
    mapper = mapped(SMALL.updated({"map.max_gaussians": 500}), steps=3)
    uids = mapper.gaussians.uids
    assert len(mapper.gaussians) <= 500 and bool((uids[1:] > uids[:-1]).all()) and int(uids[-1]) >= 500
    mapper.clear()
    assert len(mapper.gaussians) == 0
    mapper.add_frame(room_view(0, pose(0.0)))
    assert int(mapper.gaussians.uids[0]) > int(uids[-1])


UNSEEN = room_view(99, pose(-0.07, 0.45))


def mapped_in_turns(*exposures: tuple[float, float]) -> Mapper:
    """A map of keyframes whose exposures (gain, bias) take turns."""
    mapper = Mapper(SMALL)
    for i in range(5):
        frame = room_view(i, pose(-0.3 + 0.15 * i))
        gain, bias = exposures[i % len(exposures)]
        mapper.add_frame(replace(frame, rgb=(frame.rgb * gain + bias).astype(np.uint8)))
        mapper.optimise(15)
    return mapper


def test_automatic_exposure_does_not_disturb_the_map(mapper: Mapper) -> None:
    """Keyframes of alternating gain and bias map to the mean exposure: a fit of gain and bias explains a view as well."""
    other = mapped_in_turns((0.8, 20), (1.0, 0))
    assert other.psnr_db(UNSEEN, compensate_exposure=True) > mapper.psnr_db(UNSEEN, compensate_exposure=True) - 2.0


def test_without_exposures_of_their_own_keyframes_would_fight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gain and bias that alternate strongly."""
    fitted = mapped_in_turns((0.6, 0), (1.0, 30)).psnr_db(UNSEEN, compensate_exposure=True)
    monkeypatch.setattr(Exposures, "fit", lambda self, row, *images: Exposure.neutral())
    neutral = mapped_in_turns((0.6, 0), (1.0, 30)).psnr_db(UNSEEN, compensate_exposure=True)
    assert fitted > neutral + 3.0


def test_exposure_fit_recovers_gain_and_bias() -> None:
    drawn = torch.rand(40, 60, 3, generator=torch.Generator().manual_seed(0))
    exposure, covered = fitted_exposure(drawn, torch.ones(40, 60), drawn * 0.8 + 0.1)
    assert float(covered) == 1.0
    torch.testing.assert_close(exposure.gain, torch.full((3,), 0.8), atol=0.02, rtol=0)
    torch.testing.assert_close(exposure.undo(exposure.apply(drawn)), drawn)
    assert float(fitted_exposure(drawn, torch.zeros(40, 60), drawn)[1]) == 0.0
    assert torch.equal(Exposure.neutral().apply(drawn), drawn)


def test_exposure_between_keyframes() -> None:
    """Relative to the mean of all keyframes, half way in the middle of two, the same as the last one after it."""
    drawn = torch.rand(40, 60, 3, generator=torch.Generator().manual_seed(0))
    exposures = Exposures("cpu")
    for stamp_ns, gain in ((0, 0.8), (1000, 1.25)):
        exposures.add(stamp_ns)
        exposures.fit(len(exposures) - 1, drawn, torch.ones(40, 60), drawn * gain)
    torch.testing.assert_close(exposures.of_keyframe(0).gain, torch.full((3,), 0.8), atol=0.02, rtol=0)
    torch.testing.assert_close(exposures.at_time(500).gain, torch.ones(3), atol=0.02, rtol=0)
    torch.testing.assert_close(exposures.at_time(5000).gain, exposures.of_keyframe(1).gain)
    before = exposures.of_keyframe(1).gain
    exposures.fit(1, drawn, torch.zeros(40, 60), drawn)
    torch.testing.assert_close(exposures.of_keyframe(1).gain, before)
    exposures.remove(0)
    assert len(exposures) == 1 and torch.equal(exposures.at_time(0).gain, torch.ones(3))


def test_warm_up_leaves_no_trace() -> None:
    mapper = Mapper(SMALL)
    mapper.warm_up()
    assert len(mapper.gaussians) == 0


def test_dropped_keyframes_are_forgotten() -> None:
    """What is kept per keyframe is bounded by keyframes.max_count, however long the run."""
    mapper = Mapper(SMALL.updated({"keyframes.max_count": 3}))
    for i in range(6):
        mapper.add_frame(room_view(i, pose(-0.3 + 0.15 * i)))
        mapper.optimise(1)
    assert len(mapper._keyframes) == 3 and len(mapper._optimizer.exposures) == 3


def test_keyframe_choice() -> None:
    config = KeyframeConfig(min_translation=0.05, min_interval_s=0.3, max_interval_s=1.0)
    selector = KeyframeSelector(config)
    view = room_view(0, pose(0.0))

    def at(seconds: float, x: float) -> KeyframeReason:
        return selector.select(
            replace(view, stamp_ns=int(seconds * 1e9), T_map_camera=geometry.transform(np.eye(3), np.array([x, 0, 0]))),
            2.0,
        )

    assert at(0.0, 0.0) is KeyframeReason.FIRST
    assert at(0.1, 1.0) is KeyframeReason.TOO_SOON
    assert at(0.4, 0.01) is KeyframeReason.SAME_VIEW
    assert at(0.5, 0.2) is KeyframeReason.MOVED
    assert at(1.6, 0.2) is KeyframeReason.TIME
    assert not KeyframeReason.SAME_VIEW.accepted and KeyframeReason.MOVED.accepted


def test_store_drops_the_most_redundant_keyframe() -> None:
    store = KeyframeStore(KeyframeConfig(max_count=6))
    places = [0.0, 1.0, 1.01, 2.0, 3.0, 4.0, 5.0]
    dropped = [store.add(Keyframe.of(room_view(i, pose(x)), i, KeyframeReason.MOVED)) for i, x in enumerate(places)]
    assert dropped[:6] == [None] * 6 and dropped[6] in (1, 2)
    assert len(store) == 6 and store[5].id == 6


def test_reduced_depth_never_invents_a_depth() -> None:
    """Cells across an edge take one of their readings; cells without a reading stay empty."""
    depth = np.array([[1.0, 3.0, 0, 0], [1.0, 3.0, 0, 0], [0, 2.0, 5.0, 5.0], [0, 0, 5.0, 1.0]], np.float32)
    np.testing.assert_array_equal(reduced_depth(depth, 2, 2), [[1.0, 0.0], [2.0, 5.0]])
    colours = np.zeros((4, 4, 3), np.uint8)
    colours[:2, :2] = [[[0] * 3, [100] * 3], [[100] * 3, [200] * 3]]
    assert reduced_rgb(colours, 2, 2)[0, 0].tolist() == [100] * 3


def test_reduced_frame_keeps_rays() -> None:
    """The same ray has the same colour: intrinsics follow the size, also for sizes that do not divide."""
    frame = room_view(0, pose(0.0))
    for width in (80, 64):
        small = reduced(frame, width)
        assert small.camera.width == width == small.rgb.shape[1] and small.depth_m is not None
        truth = room_view(0, pose(0.0), small.camera)
        assert truth.depth_m is not None
        assert np.mean(np.abs(small.depth_m - truth.depth_m) < 0.03) > 0.97
    assert reduced(frame, 160) is frame
