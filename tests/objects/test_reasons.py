"""Reasons: windows at a place from which the object and its rival lie apart say most; who was never seen says nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from table_world import PLACES, evidence, instance, snapshot

from echoseg_ros.config import ChoiceConfig, SourceConfig
from echoseg_ros.errors import FolderError
from echoseg_ros.objects.instance_choice import InstanceChooser
from echoseg_ros.objects.reasons import MAX_REASONS, Reasons, explain
from echoseg_ros.report.explain import explanation_text
from echoseg_ros.report.results import objects_json, why_json
from echoseg_ros.sound.localisation.source_estimator import SourceEstimator
from echoseg_ros.types import MapSnapshot, Verdict

RIGHT, WRONG = 1, 3
# The sound comes from the right place but for four windows, which hear it at the wrong one.
MISLED = (8, 9, 20, 21)
SUPPORT = ((10**9, 30.0), (2 * 10**9, -10.0), (3 * 10**9, 60.0))


@pytest.fixture(scope="module")
def heard() -> tuple[SourceEstimator, Verdict, MapSnapshot]:
    rng = np.random.default_rng(0)
    tracker, chooser = SourceEstimator(SourceConfig()), InstanceChooser(ChoiceConfig())
    things = tuple(replace(instance(k, place), support=SUPPORT) for k, place in enumerate(PLACES))
    world = snapshot(things)
    for k in range(40):
        window = evidence(k, PLACES[WRONG if k in MISLED else RIGHT], rng)
        tracker.add(window)
        verdict = chooser.decide(tracker, world, window.stamp_ns, window.stamp_ns)
    return tracker, verdict, world


def why_of(heard: tuple[SourceEstimator, Verdict, MapSnapshot], object_id: int) -> Reasons:
    tracker, verdict, world = heard
    return next(why for why in explain(tracker, verdict, world.instances) if why.object_id == object_id)


def test_the_misled_windows_speak_against(heard: tuple[SourceEstimator, Verdict, MapSnapshot]) -> None:
    tracker, verdict, world = heard
    assert verdict.sounding[0].instance.id == RIGHT
    stamps_ns, gain = tracker.window_preferences(PLACES[RIGHT], PLACES[WRONG])
    number = np.round(stamps_ns / 0.25e9).astype(int) - 1
    assert set(number[np.argsort(gain)[:4]].tolist()) == set(MISLED)
    assert (gain[~np.isin(number, MISLED)] > 0).mean() > 0.9


def test_reasons_are_the_strongest_of_each_side_and_shares(
    heard: tuple[SourceEstimator, Verdict, MapSnapshot],
) -> None:
    why = why_of(heard, RIGHT)
    assert why.rank == 0 and why.rival_id != RIGHT and why.probability > why.rival_probability
    assert 0 < len(why.windows) <= 2 * MAX_REASONS
    assert [stamp for stamp, _ in why.windows] == sorted(stamp for stamp, _ in why.windows)
    assert 0 < sum(abs(share) for _, share in why.windows) <= 1
    assert why.views == ((10**9, 0.3), (2 * 10**9, -0.1), (3 * 10**9, 0.6))


def test_a_loser_is_explained_against_the_winner(heard: tuple[SourceEstimator, Verdict, MapSnapshot]) -> None:
    tracker, verdict, _ = heard
    loser = next(c for c, _ in verdict.sources[0].candidates if c not in (RIGHT, None))
    why = why_of(heard, loser)
    assert why.rank > 0 and why.rival_id == RIGHT
    assert sum(share for _, share in why.windows) < 0


def test_reasons_in_words(heard: tuple[SourceEstimator, Verdict, MapSnapshot], tmp_path: Path) -> None:
    tracker, verdict, world = heard
    reasons = why_json(explain(tracker, verdict, world.instances), 0)
    (tmp_path / "why.json").write_text(json.dumps(reasons))
    (tmp_path / "objects.json").write_text(json.dumps(objects_json(verdict, world, 0)))
    text = explanation_text(tmp_path)
    assert text.startswith(f"source {verdict.sources[0].id}: object {RIGHT} with ") and "ahead of" in text
    assert "3.00 s (+60.0%), 1.00 s (+30.0%)" in text and "2.00 s (-10.0%)" in text
    assert explanation_text(tmp_path, RIGHT) == text
    with pytest.raises(FolderError, match="object 77 is not among"):
        explanation_text(tmp_path, 77)
    (tmp_path / "why.json").write_text("[]")
    assert explanation_text(tmp_path).startswith("no object sounds")
