"""Keyframe candidates: when they get depth, in which order, and how many are held."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from known_depth import depth_of
from sweep_scene import path, relative_error, view

from echoseg_ros.mapping.keyframes import Keyframe
from echoseg_ros.mapping.plane_sweep.depth_from_motion import DepthEstimate, DepthFromMotion
from echoseg_ros.mapping.plane_sweep.keyframe_candidates import MAX_CANDIDATES, KeyframeCandidates, warm_up


@pytest.fixture(scope="module")
def views() -> list[Keyframe]:
    return path()


def test_candidates_are_released_in_order_with_depth(views: list[Keyframe]) -> None:
    without_depth = [replace(keyframe, depth_m=None) for keyframe in views]
    candidates = KeyframeCandidates()
    ready = [result for keyframe in without_depth for result in candidates.add(keyframe)] + candidates.flush()
    assert [keyframe.id for keyframe, _ in ready] == list(range(7))
    for keyframe, confidence in ready[1:-1]:
        depth = depth_of(keyframe)
        errors = relative_error(depth, depth_of(views[keyframe.id]))
        assert (depth > 0).mean() > 0.5
        assert np.median(errors) < 0.01
        assert confidence.shape == depth.shape
    assert candidates.waiting_reason == ""


def test_a_standing_camera_waits_and_does_not_fill_the_memory(views: list[Keyframe]) -> None:
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


def test_warm_up_runs_every_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    ready: list[int] = []
    cross_checked = DepthFromMotion.cross_checked

    def logged(self: DepthFromMotion, *arguments: Any) -> DepthEstimate:
        checked = cross_checked(self, *arguments)
        ready.append(int(np.count_nonzero(checked.depth)))
        return checked

    monkeypatch.setattr(DepthFromMotion, "cross_checked", logged)
    warm_up()
    assert max(ready) > 0
