"""Hypotheses in a known room of reflections: neighbouring instances, several sounds, and sounds elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from reflecting_room import CEILING, FLOOR, INSTANCE_POINTS, INSTANCES_M, WALLS, direction_maps_of, mixed_evidence
from waves import ROOM_M

from echoseg_ros.sound.localisation.hypotheses import LocatedSound, find_sounds
from echoseg_ros.types import Float64Array, SoundEvidence

REFLECTORS = (*WALLS, FLOOR, CEILING)
LOW_M, HIGH_M = np.zeros(3), ROOM_M


def found(
    evidence: list[SoundEvidence], instance_points: list[Float64Array], max_sounds: int = 3
) -> tuple[LocatedSound, ...]:
    return find_sounds(direction_maps_of(evidence), instance_points, REFLECTORS, LOW_M, HIGH_M, max_sounds, 3)


def test_a_position_enclosed_by_the_points_of_a_large_instance_belongs_to_it() -> None:
    """None of the sampled points is near."""
    corners = 0.45 * np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    cupboard_m = np.array([3.6, 3.4, 0.9])
    instance_points = [INSTANCE_POINTS[2], cupboard_m + corners, INSTANCE_POINTS[4]]
    (sound,) = found(mixed_evidence([cupboard_m + [0.25, -0.25, 0.25]], [1.0]), instance_points, 1)
    assert sound.instance == 1
    assert sound.probabilities(0.0)[1] > 0.9


@pytest.mark.parametrize("true", range(len(INSTANCES_M)))
def test_the_sounding_instance_is_separated_from_its_neighbours(true: int) -> None:
    offset_m = np.random.default_rng(true).uniform(-0.04, 0.04, 3)
    (sound,) = found(mixed_evidence([INSTANCES_M[true] + offset_m], [1.0], true), INSTANCE_POINTS)
    assert sound.instance == true
    probabilities = sound.probabilities(0.0)
    assert probabilities[true] > 0.9 and probabilities.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("true", range(4))  # the fifth lies where wall and floor meet: its images are all on one side
def test_behind_an_obstacle_the_reflections_show_the_sounding_instance(true: int) -> None:
    offset_m = np.random.default_rng(true).uniform(-0.04, 0.04, 3)
    (sound,) = found(mixed_evidence([INSTANCES_M[true] + offset_m], [1.0], true, direct=0.15), INSTANCE_POINTS, 1)
    assert sound.instance == true
    assert sound.probabilities(0.0)[true] > 0.8


@pytest.mark.parametrize(("pair", "shares"), [((0, 2), (0.5, 0.5)), ((1, 4), (0.65, 0.35)), ((2, 3), (0.4, 0.6))])
def test_two_sounds_are_counted_and_found(pair: tuple[int, int], shares: tuple[float, float]) -> None:
    sounds = found(mixed_evidence([INSTANCES_M[k] for k in pair], list(shares)), INSTANCE_POINTS)
    assert {sound.instance for sound in sounds} == set(pair)
    assert sounds[0].gain >= sounds[1].gain > 0
    for sound in sounds:
        assert np.argmax(sound.probabilities(0.0)) == sound.instance


def test_a_reflection_that_the_map_does_not_explain_is_no_second_sound() -> None:
    """Bug: beside a loud sound it explained a fifth of the gain, and a cupboard across the room was named as well."""
    (sound,) = found(mixed_evidence([INSTANCES_M[0], INSTANCES_M[2]], [0.88, 0.12]), INSTANCE_POINTS)
    assert sound.instance == 0


def test_beside_a_sound_through_a_wall_no_other_sound_is_found() -> None:
    """Bug: its reflections in the room passed for a second sound, and an instance was named for the neighbours' noise.

    Beside a sound in the room, a second one of the same share is found.
    """
    next_door_m = np.array([ROOM_M[0] + 1.2, 2.6, 1.1])
    observed = direction_maps_of(mixed_evidence([next_door_m, INSTANCES_M[2]], [0.7, 0.3]))
    (sound,) = find_sounds(observed, INSTANCE_POINTS, REFLECTORS, LOW_M, HIGH_M + 2.0, 3, 3)
    assert sound.instance is None and sound.position_m[0] > ROOM_M[0] + 0.3
    in_room = direction_maps_of(mixed_evidence([INSTANCES_M[3], INSTANCES_M[2]], [0.7, 0.3]))
    assert len(find_sounds(in_room, INSTANCE_POINTS, REFLECTORS, LOW_M, HIGH_M + 2.0, 3, 3)) == 2


def test_a_sound_away_from_all_instances_is_elsewhere() -> None:
    others = [points for k, points in enumerate(INSTANCE_POINTS) if k != 0]
    sounds = found(mixed_evidence([INSTANCES_M[0]], [1.0]), others, max_sounds=1)
    assert sounds[0].instance is None
    assert np.linalg.norm(sounds[0].position_m - INSTANCES_M[0]) < 0.25
    assert sounds[0].probabilities(0.0)[-1] > 0.9


def test_a_sound_that_may_be_outside_is_less_likely_in_an_instance() -> None:
    sound = LocatedSound(np.zeros(3), 0, 1.0, 1.0, np.array([0.0, 0.5, 0.1]), 30)
    inside, outside = sound.probabilities(0.0), sound.probabilities(1.0)
    assert inside[0] > 0.9 > outside[0]
    assert outside[-1] > 10 * inside[-1]


def test_with_a_tone_an_instance_wins_against_elsewhere_at_a_larger_deficit() -> None:
    """Free space has many positions, and the lobes of a tone fit some of them by chance."""
    deficits = np.array([0.2, 0.45, 0.0])
    noise, tone = (
        LocatedSound(np.zeros(3), None, 1.0, 1.0, deficits, 40, share).probabilities(0.0) for share in (1.0, 0.45)
    )
    assert noise[-1] > 0.9 and tone[0] > 0.9


def test_with_a_tone_a_deficit_separates_instances_less() -> None:
    """Bug (two ears, beeps): with the scatter of a full band, instances 5 m away won against the right one."""
    deficits = np.array([0.0, 0.17, 1.0])
    full, tone = (
        LocatedSound(np.zeros(3), 0, 1.0, 1.0, deficits, 40, share).probabilities(0.0) for share in (1.0, 0.46)
    )
    assert full[1] < 0.01 < 0.05 < tone[1] < 0.2
    assert tone[0] > 0.8 and np.isclose(np.log(tone[1] / tone[0]), 0.46 * np.log(full[1] / full[0]))


def test_few_array_positions_leave_the_instance_open() -> None:
    deficits = np.array([0.0, 0.1, 0.3])
    few, many = (
        LocatedSound(np.zeros(3), 0, 1.0, 1.0, deficits, positions).probabilities(0.0) for positions in (2, 60)
    )
    assert few[0] < many[0] and few[1] > many[1]
