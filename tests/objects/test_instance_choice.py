from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from table_world import PLACES, TABLE_Z_M, evidence, instance, snapshot

from echoseg_ros.config import ChoiceConfig, SourceConfig
from echoseg_ros.objects.instance_choice import FEW_VIEWS, InstanceChooser, posterior_over
from echoseg_ros.sound.localisation.source_estimator import MIN_POSITIONS_TO_NAME, SourceEstimator
from echoseg_ros.types import MapSnapshot, Verdict


def verdicts(sources_m: list[np.ndarray | None], world: MapSnapshot | None, seed: int = 0) -> list[Verdict]:
    rng = np.random.default_rng(seed)
    tracker, chooser = SourceEstimator(SourceConfig()), InstanceChooser(ChoiceConfig())
    made = []
    for k, source_m in enumerate(sources_m):
        window = evidence(k, source_m, rng)
        tracker.add(window)
        made.append(chooser.decide(tracker, world, window.stamp_ns, window.stamp_ns + 250_000_000))
    return made


@pytest.mark.parametrize("which", range(4))
def test_the_right_one_of_four_things_a_quarter_of_a_metre_apart(which: int) -> None:
    things = tuple(instance(k, place) for k, place in enumerate(PLACES))
    last = verdicts([PLACES[which]] * 40, snapshot(things), seed=which)[-1]
    (found,) = last.sounding
    assert found.instance.id == which
    assert found.probability > 0.8
    assert found.source.object_id == which
    assert sum(p for _, p in found.source.candidates) == pytest.approx(1.0)


def test_a_source_in_free_air_is_elsewhere() -> None:
    things = tuple(instance(k, place) for k, place in enumerate(PLACES))
    free_m = PLACES[1] + [0.0, -0.1, 0.4]
    last = verdicts([free_m] * 40, snapshot(things))[-1]
    (source,) = last.sources
    assert last.sounding == ()
    assert source.object_id is None
    assert source.candidates[0][0] is None
    assert np.linalg.norm(source.position_m - free_m) < 0.2


def test_a_small_thing_on_a_big_one_wins_at_its_place() -> None:
    table = instance(9, np.array([2.5, 2.1, TABLE_Z_M - 0.1]), size_m=1.0)
    last = verdicts([PLACES[0]] * 40, snapshot((table, instance(0, PLACES[0]))))[-1]
    assert last.sounding[0].instance.id == 0


def test_of_two_that_fit_alike_the_one_that_few_views_proposed_is_less_likely() -> None:
    """A fragment seen twice, a metre behind a radio on the same line of sight, was named for the radio."""
    chances = {}
    for views in (60, 2):
        rng, tracker = np.random.default_rng(0), SourceEstimator(SourceConfig())
        sides = [
            replace(instance(k, PLACES[0] + side * np.array([0.06, 0.0, 0.0])), views=seen)
            for k, side, seen in ((0, -1, views), (1, 1, 60))
        ]
        for k in range(40):
            tracker.add(evidence(k, PLACES[0], rng))
        (source,) = InstanceChooser(ChoiceConfig()).decide(tracker, snapshot(tuple(sides)), 0, 0).sources
        chances[views] = dict(source.candidates)
    odds = [chances[views][0] / chances[views][1] for views in (60, 2)]
    assert odds[1] / odds[0] == pytest.approx((2 / (2 + FEW_VIEWS)) / (60 / (60 + FEW_VIEWS)), rel=0.01)


def test_where_two_things_explain_a_sound_alike_the_density_of_its_place_decides() -> None:
    """Beeps named the clock's neighbour (.62 to .38) while the back-projection lay in the clock."""
    things = tuple(instance(k, place) for k, place in enumerate(PLACES))
    rng, tracker = np.random.default_rng(0), SourceEstimator(SourceConfig())
    for k in range(40):
        tracker.add(evidence(k, PLACES[1], rng))
    (belief,) = tracker.update_estimates(snapshot(things).surface_points)
    explained = np.array([0.01, 0.38, 0.6, 0.0, 0.01])
    belief = replace(belief, instance_probabilities=explained, array_position_count=MIN_POSITIONS_TO_NAME)
    chances = dict(posterior_over(belief, things, tracker.position_error_m))
    assert chances[1] > 0.9
    assert sum(chances.values()) == pytest.approx(1.0)
    # From few places the density is as sure of a wrong thing: it is not asked.
    early = replace(belief, array_position_count=MIN_POSITIONS_TO_NAME - 1)
    assert dict(posterior_over(early, things, tracker.position_error_m))[2] == 0.6
    # What stands where the sound is not is as good as elsewhere, however well it explains the rest.
    only_far = (things[0], things[3])
    explained = np.array([0.55, 0.0, 0.45])
    chances = dict(
        posterior_over(replace(belief, instance_probabilities=explained), only_far, tracker.position_error_m)
    )
    assert chances[None] > 0.5 > chances[0] > 0.01


def test_what_things_are_called_decides_between_two_that_touch_if_asked_to() -> None:
    """The middle between two things: the ears cannot tell, what is heard is a phone."""
    between_m, apart_m = PLACES[0], np.array([0.06, 0.0, 0.0])
    clock, phone = (
        replace(instance(k, between_m + side * apart_m), names=((name, 1.0),))
        for k, side, name in ((0, -1, "clock"), (1, 1, "phone"))
    )
    chances = {}
    for mode in ("off", "names"):
        rng, tracker = np.random.default_rng(0), SourceEstimator(SourceConfig())
        chooser = InstanceChooser(ChoiceConfig(audio_visual=mode))
        shares: dict[int, dict[str, float]] = {}
        for k in range(40):
            window = evidence(k, between_m, rng)
            tracker.add(window)
            last = chooser.decide(tracker, snapshot((clock, phone)), window.stamp_ns, window.stamp_ns, shares)
            shares = {source.id: {"clock": 0.1, "phone": 0.9} for source in last.sources}
        chances[mode] = dict(last.sources[0].candidates)
    assert chances["names"][1] / chances["names"][0] == pytest.approx(
        9 * chances["off"][1] / chances["off"][0], rel=0.05
    )
    assert last.sounding[0].instance.id == 1


def test_without_a_map_there_is_a_place_but_no_object() -> None:
    last = verdicts([PLACES[0]] * 40, None)[-1]
    assert last.sounding == ()
    assert np.linalg.norm(last.sources[0].position_m - PLACES[0]) < 0.25


def test_silence_has_no_source() -> None:
    assert all(not verdict.sources for verdict in verdicts([None] * 40, snapshot((instance(0, PLACES[0]),))))


def test_source_and_choice_stay_the_same_over_time() -> None:
    things = tuple(instance(k, place) for k, place in enumerate(PLACES))
    made = verdicts([PLACES[2]] * 60, snapshot(things), seed=5)
    assert len({verdict.sources[0].id for verdict in made if verdict.sources}) == 1
    chosen = [verdict.sources[0].object_id for verdict in made if verdict.sources]
    assert sum(a != b for a, b in zip(chosen, chosen[1:])) <= 2


def test_heard_intervals_follow_the_sound() -> None:
    """On from 0 to 4 s and from 7 to 10 s."""
    on = [PLACES[0] if t < 4 or 7 <= t < 10 else None for t in 0.25 + 0.25 * np.arange(48)]
    last = verdicts(on, snapshot((instance(0, PLACES[0]),)))[-1]
    heard_s = [(i.start_ns / 1e9, i.end_ns / 1e9) for i in last.sources[0].heard_intervals]
    assert heard_s == [pytest.approx((0.125, 3.875), abs=0.3), pytest.approx((6.875, 9.875), abs=0.3)]


def test_heard_intervals_outlive_the_evidence() -> None:
    rng = np.random.default_rng(0)
    tracker, chooser = SourceEstimator(SourceConfig(memory_s=3.0)), InstanceChooser(ChoiceConfig())
    world = snapshot((instance(0, PLACES[0]),))
    for k in range(48):
        window = evidence(k, PLACES[0], rng)
        tracker.add(window)
        last = chooser.decide(tracker, world, window.stamp_ns, window.stamp_ns)
    (interval,) = last.sources[0].heard_intervals
    assert interval.start_ns < 1e9
    assert interval.end_ns > 11.5e9
