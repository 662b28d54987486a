"""Keyframe candidates: when they get depth, in which order, and how many are held."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sweep_scene import path, relative_error, view

from echoseg_ros.mapping.keyframes import Keyframe
from echoseg_ros.mapping.plane_sweep.depth_from_motion import DepthEstimate, DepthFromMotion
from echoseg_ros.mapping.plane_sweep.keyframe_candidates import MAX_CANDIDATES, KeyframeCandidates, warm_up


@pytest.fixture(scope="module")
def views() -> list[Keyframe]:
    return path()


def test_swept_keyframes_come_in_order_with_depth(views: list[Keyframe]) -> None:
    blind = [replace(keyframe, depth_m=None) for keyframe in views]
    candidates = KeyframeCandidates()
    ready = [result for keyframe in blind for result in candidates.add(keyframe)] + candidates.flush()
    assert [keyframe.id for keyframe, _ in ready] == list(range(7))
    for keyframe, confidence in ready[1:-1]:
        errors = relative_error(keyframe.depth_m, views[keyframe.id].depth_m)
        assert (keyframe.depth_m > 0).mean() > 0.5
        assert np.median(errors) < 0.01
        assert confidence.shape == keyframe.depth_m.shape
    assert candidates.waiting_reason == ""


def test_a_standing_camera_waits_and_fills_no_memory(views: list[Keyframe]) -> None:
    candidates = KeyframeCandidates()
    for i in range(3):
        assert candidates.add(view(i, (0, 0, 0))) == []
    assert candidates.waiting_reason.startswith("no parallax") and candidates.waiting_reason.endswith("waiting")
    for i in range(3, 3 + 2 * MAX_CANDIDATES):
        assert candidates.add(view(i, (0, 0, 0), 0.5 * i)) == []
    assert len(candidates._candidates) <= MAX_CANDIDATES
    candidates.clear()
    ready = [result for keyframe in views for result in candidates.add(keyframe)]
    assert [keyframe.id for keyframe, _ in ready] == list(range(5))


def test_warm_up_reaches_every_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    ready: list[int] = []
    cross_checked = DepthFromMotion.cross_checked

    def spy(self: DepthFromMotion, *arguments: object) -> DepthEstimate:
        checked = cross_checked(self, *arguments)
        ready.append(np.count_nonzero(checked.depth))
        return checked

    monkeypatch.setattr(DepthFromMotion, "cross_checked", spy)
    warm_up()
    assert max(ready) > 0
