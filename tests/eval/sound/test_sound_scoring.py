"""Scores of directions and verdicts against cases with known results."""

from __future__ import annotations

import numpy as np
import pytest

from echoseg_ros.eval.sound.bench_sound_cases import FIRST_ROOM
from echoseg_ros.eval.sound.sound_scenes import SoundCase, make_scene
from echoseg_ros.eval.sound.sound_scoring import _verdict_scores, direction_errors
from echoseg_ros.sound.array.array_geometry import load_array
from echoseg_ros.types import Float64Array, SoundingObject, SoundSource, Verdict


def unit(*values: float) -> Float64Array:
    direction: Float64Array = np.array(values) / np.linalg.norm(values)
    return direction


def test_ambiguities_of_the_array_do_not_count_as_errors() -> None:
    true = unit(0.5, 0.6, 0.4)
    cube8, square4, binaural = (load_array(name) for name in ("cube8", "square4", "binaural"))
    mirrored, turned = true * [1, 1, -1], np.array([0.4, true[1], 0.5])
    turned[2] = -np.sqrt(1 - turned[0] ** 2 - turned[1] ** 2)
    assert direction_errors(cube8, mirrored, true).direction == pytest.approx(2 * np.degrees(np.arcsin(true[2])))
    assert direction_errors(square4, mirrored, true).direction == pytest.approx(0, abs=1e-6)
    assert direction_errors(binaural, turned, true).direction == pytest.approx(0, abs=1e-6)
    assert direction_errors(square4, unit(0.5, 0.6, 9.0), true).azimuth == pytest.approx(0, abs=1e-6)
    assert direction_errors(cube8, unit(0.0, 1.0, 0.0), unit(1.0, 0.0, 0.0)).azimuth == pytest.approx(90)


def test_after_a_move_the_verdicts_before_it_do_not_count() -> None:
    scene = make_scene(FIRST_ROOM, "cube8", 0.0, None, 4)
    instances = scene.snapshot.instances[:2]
    spread_m2 = 0.01 * np.eye(3)

    def verdict(k: int, number: int) -> Verdict:
        source = SoundSource(0, scene.source_m(number), spread_m2, 1.0, number, ((number, 1.0),), ())
        return Verdict(k, k, (source,), (SoundingObject(instances[number], source, 1.0, "object"),))

    case = SoundCase(("builtin:noise",) * 2, (0, 1), on_s=((0.0, 4.0), (4.0, 8.0)))
    row = _verdict_scores(scene, case, [verdict(k, 0) for k in range(6)] + [verdict(k, 1) for k in range(6, 8)])
    assert row["right"] and not row["wrong"] and row["false_objects"] == 0
    assert row["time_to_right_s"] == 3.0 and row["sounding_s"] == 4.0  # right from the third second on
    row = _verdict_scores(scene, case, [verdict(k, 0) for k in range(8)])
    assert not row["right"] and row["wrong"] and row["time_to_right_s"] is None
