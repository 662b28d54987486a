"""Which things sound: a known room of reflections, things side by side, several sounds, and none of the things."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from waves import ROOM_M, cube, evidence_along, path

from echoseg_ros.config import SourceConfig
from echoseg_ros.sound.localisation.hypotheses import LocatedSound, find_ceiling, find_sounds
from echoseg_ros.sound.localisation.lobe_matching import BAND_WEIGHT, DirectionMaps
from echoseg_ros.sound.localisation.reflectors import Reflector
from echoseg_ros.sound.localisation.source_estimator import SourceEstimator
from echoseg_ros.types import Float64Array, SoundEvidence

# Things in the room of tests/waves.py, two of them half a metre apart.
THINGS_M = np.array([[3.2, 3.4, 0.8], [3.7, 3.4, 0.8], [1.2, 4.2, 1.1], [4.8, 1.2, 0.4], [0.8, 2.6, 0.2]])
LOW_M, HIGH_M = np.zeros(3), ROOM_M
SPREAD_M = 0.05 * np.array([[x, y, z] for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)])
THINGS = [center + SPREAD_M for center in THINGS_M]


def plane(axis: int, at_m: float, sign: float) -> Reflector:
    normal = sign * np.eye(3)[axis]
    return Reflector(normal, sign * at_m, np.eye(3), np.full(3, -np.inf), np.full(3, np.inf))


WALLS = tuple(plane(axis, at, sign) for axis in (0, 1) for at, sign in ((0.0, 1.0), (ROOM_M[axis], -1.0)))
FLOOR, CEILING = plane(2, 0.0, 1.0), plane(2, float(ROOM_M[2]), -1.0)


def mixed(places: list[Float64Array], shares: list[float], seed: int = 0, direct: float = 1.0) -> list[SoundEvidence]:
    """Evidence along a path of several sounds that share all bands; direct: gain of the straight way."""
    heard = [evidence_along(cube(), path(24), [place] * 24, seed + k, direct=direct) for k, place in enumerate(places)]
    return [
        replace(windows[0], energy=sum(share * e.energy for share, e in zip(shares, windows, strict=True)))
        for windows in zip(*heard, strict=True)
    ]


def heard_of(evidence: list[SoundEvidence]) -> DirectionMaps:
    tracker = SourceEstimator(SourceConfig())
    for window in evidence:
        tracker.add(replace(window, lobes=evidence[0].lobes))
    slots, weights = tracker._weighted_windows()
    heard = tracker.memory.direction_maps(slots, weights)
    assert heard is not None
    return heard


def found(evidence: list[SoundEvidence], things: list[Float64Array], most: int = 3) -> tuple[LocatedSound, ...]:
    return find_sounds(heard_of(evidence), things, (*WALLS, FLOOR, CEILING), LOW_M, HIGH_M, most, 3)


def test_a_place_within_a_large_thing_belongs_to_it_though_none_of_its_sampled_places_is_near() -> None:
    corners = 0.45 * np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    cupboard_m = np.array([3.6, 3.4, 0.9])
    (sound,) = found(mixed([cupboard_m + [0.25, -0.25, 0.25]], [1.0]), [THINGS[2], cupboard_m + corners, THINGS[4]], 1)
    assert sound.instance == 1
    assert sound.probabilities(0.0)[1] > 0.9


@pytest.mark.parametrize("true", range(len(THINGS)))
def test_the_thing_that_sounds_is_told_from_its_neighbours(true: int) -> None:
    offset_m = np.random.default_rng(true).uniform(-0.04, 0.04, 3)
    (sound,) = found(mixed([THINGS_M[true] + offset_m], [1.0], true), THINGS)
    assert sound.instance == true
    probabilities = sound.probabilities(0.0)
    assert probabilities[true] > 0.9 and probabilities.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("true", range(4))  # the fifth lies where wall and floor meet: its images are all on one side
def test_behind_an_obstacle_its_reflections_say_which_thing_sounds(true: int) -> None:
    offset_m = np.random.default_rng(true).uniform(-0.04, 0.04, 3)
    (sound,) = found(mixed([THINGS_M[true] + offset_m], [1.0], true, direct=0.15), THINGS, 1)
    assert sound.instance == true
    assert sound.probabilities(0.0)[true] > 0.8


@pytest.mark.parametrize(("pair", "shares"), [((0, 2), (0.5, 0.5)), ((1, 4), (0.65, 0.35)), ((2, 3), (0.4, 0.6))])
def test_two_sounds_are_counted_and_found(pair: tuple[int, int], shares: tuple[float, float]) -> None:
    sounds = found(mixed([THINGS_M[k] for k in pair], list(shares)), THINGS)
    assert {sound.instance for sound in sounds} == set(pair)
    assert sounds[0].gain >= sounds[1].gain > 0
    for sound in sounds:
        assert np.argmax(sound.probabilities(0.0)) == sound.instance


def test_a_reflection_from_what_the_map_lacks_is_no_second_sound() -> None:
    """Beside a loud sound it explained a fifth of what that did: a cupboard across the room was said to sound too."""
    (sound,) = found(mixed([THINGS_M[0], THINGS_M[2]], [0.88, 0.12]), THINGS)
    assert sound.instance == 0


def test_beside_a_sound_through_a_wall_nothing_else_is_heard() -> None:
    """What it does in here passed for a second sound: a thing was named while the neighbours talked.

    Beside one in here a second one of the same share is heard.
    """
    next_door_m = np.array([ROOM_M[0] + 1.2, 2.6, 1.1])
    heard = heard_of(mixed([next_door_m, THINGS_M[2]], [0.7, 0.3]))
    (sound,) = find_sounds(heard, THINGS, (*WALLS, FLOOR, CEILING), LOW_M, HIGH_M + 2.0, 3, 3)
    assert sound.instance is None and sound.position_m[0] > ROOM_M[0] + 0.3
    in_here = heard_of(mixed([THINGS_M[3], THINGS_M[2]], [0.7, 0.3]))
    assert len(find_sounds(in_here, THINGS, (*WALLS, FLOOR, CEILING), LOW_M, HIGH_M + 2.0, 3, 3)) == 2


def test_a_sound_away_from_all_things_is_in_none_of_them() -> None:
    others = [places for k, places in enumerate(THINGS) if k != 0]
    sounds = found(mixed([THINGS_M[0]], [1.0]), others, most=1)
    assert sounds[0].instance is None
    assert np.linalg.norm(sounds[0].position_m - THINGS_M[0]) < 0.25
    assert sounds[0].probabilities(0.0)[-1] > 0.9


def test_what_may_lie_outside_is_less_likely_a_thing() -> None:
    sound = LocatedSound(np.zeros(3), 0, 1.0, 1.0, np.array([0.0, 0.5, 0.1]), 30)
    inside, outside = sound.probabilities(0.0), sound.probabilities(1.0)
    assert inside[0] > 0.9 > outside[0]
    assert outside[-1] > 10 * inside[-1]


def test_beside_a_tone_a_thing_is_believed_sooner_than_a_place_elsewhere() -> None:
    """Many free places are looked at, and a tone's lobes fit some of them by chance."""
    deficits = np.array([0.2, 0.45, 0.0])
    noise, tone = (
        LocatedSound(np.zeros(3), None, 1.0, 1.0, deficits, 40, share).probabilities(0.0) for share in (1.0, 0.45)
    )
    assert noise[-1] > 0.9 and tone[0] > 0.9


def heard_in(spectrum: np.ndarray) -> DirectionMaps:
    nothing = np.zeros((1, 3, 4), np.float32)
    return DirectionMaps(nothing, nothing, np.zeros((1, 3)), np.eye(3)[None], np.ones(1), spectrum)


def test_bands_without_the_tone_say_little() -> None:
    flat = np.full((3, 12), 1 / 12)
    tone = flat.copy()
    tone[1] = np.eye(12)[5]
    np.testing.assert_allclose(heard_in(flat).band_weights, BAND_WEIGHT)
    worth = heard_in(tone).band_weights
    assert worth[1] == worth.max() and worth[0] < 0.3 * BAND_WEIGHT[0] and worth[2] < 0.3 * BAND_WEIGHT[2]
    assert 0 < heard_in(tone).band_weight_share < heard_in(flat).band_weight_share == pytest.approx(1.0)


def test_of_tones_a_deficit_says_less_between_things():
    """Two ears, beeps: with the scatter of a full band, things 5 m off won with certainty over the one that beeped."""
    deficits = np.array([0.0, 0.17, 1.0])
    full, tone = (
        LocatedSound(np.zeros(3), 0, 1.0, 1.0, deficits, 40, share).probabilities(0.0) for share in (1.0, 0.46)
    )
    assert full[1] < 0.01 < 0.05 < tone[1] < 0.2
    assert tone[0] > 0.8 and np.isclose(np.log(tone[1] / tone[0]), 0.46 * np.log(full[1] / full[0]))


def test_few_places_leave_it_open() -> None:
    deficits = np.array([0.0, 0.1, 0.3])
    few, many = (LocatedSound(np.zeros(3), 0, 1.0, 1.0, deficits, places).probabilities(0.0) for places in (2, 60))
    assert few[0] < many[0] and few[1] > many[1]


def test_the_ceiling_is_heard_where_the_map_has_none() -> None:
    """Maps made of the lobes of a sound, its reflections in walls and floor, and that in the ceiling."""
    heard = heard_of(mixed([THINGS_M[2]], [1.0]))
    under_it = replace(heard, maps=heard.predicted(THINGS_M[2], (*WALLS, FLOOR, CEILING)))
    ceiling = find_ceiling(under_it, THINGS_M[2], (*WALLS, FLOOR))
    assert ceiling is not None
    assert -ceiling.offset_m == pytest.approx(ROOM_M[2], abs=0.05)
    open_air = replace(heard, maps=heard.predicted(THINGS_M[2], (*WALLS, FLOOR)))
    assert find_ceiling(open_air, THINGS_M[2], (*WALLS, FLOOR)) is None
    assert find_ceiling(under_it, THINGS_M[2], WALLS) is None  # without a floor nothing says how high


def test_a_mirror_image_is_in_front_of_its_plane_or_not_at_all() -> None:
    wall = WALLS[1]
    np.testing.assert_allclose(wall.mirror_image(np.array([5.0, 1.0, 1.0])), [7.0, 1.0, 1.0])
    assert wall.mirror_image(np.array([6.5, 1.0, 1.0])) is None
