"""Microphones on a line hear a cone of directions; a way with turns leaves one place of it."""

from __future__ import annotations

import numpy as np
import pytest

from echoseg_ros.config import Config
from echoseg_ros.eval.sound.sound_scenes import SoundCase, SoundScene, make_scene, windows
from echoseg_ros.pipeline.decision_stage import DecisionStage
from echoseg_ros.sound.array.array_geometry import ArrayGeometry, array_from_mapping
from echoseg_ros.sound.evidence.extractor import EvidenceExtractor
from echoseg_ros.types import Verdict

SOURCE = 2


def line(count: int) -> ArrayGeometry:
    """Microphones 5 cm apart, across the robot's way (16 of them: 2 cm)."""
    places_m = (np.arange(count) - (count - 1) / 2) * (0.05 if count < 16 else 0.02)
    return array_from_mapping({"sample_rate_hz": 16000, "microphones_m": [[0.0, float(y), 0.0] for y in places_m]})


def hear(scene: SoundScene, poses: int) -> Verdict:
    config = Config()
    extract, judge = EvidenceExtractor(scene.array, 16000, config.sound), DecisionStage(config)
    heard = windows(scene, SoundCase(sounds=("builtin:noise",), sources=(SOURCE,)))[:poses]
    return [judge.add(extract(window), scene.snapshot) for window in heard][-1]


@pytest.mark.parametrize("count", [2, 4, 16])
def test_a_line_localises_on_a_way_with_turns(count: int) -> None:
    """30 poses in a room of 0.3 s: to 0.15 m, in all three directions, and to the right thing."""
    scene = make_scene(0, line(count), rt60_s=0.3)
    source = hear(scene, 30).sources[0]
    assert np.linalg.norm(source.position_m - scene.source_m(SOURCE)) < 0.15
    assert source.object_id == SOURCE
    assert np.sqrt(np.trace(source.covariance_m2)) < 0.3


def test_what_lies_on_the_cone_is_told_before_the_way_turns() -> None:
    """From the first pose any place of the cone fits: nothing is claimed, or others are named as well."""
    scene = make_scene(0, line(4), rt60_s=0.3)
    for source in hear(scene, 2).sources:
        wide = np.sqrt(np.trace(source.covariance_m2)) > 0.5
        assert wide or len(source.alternatives) > 1 or source.candidates[0][1] < 0.7
