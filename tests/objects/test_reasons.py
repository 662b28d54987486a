"""Reasons of a verdict: windows and views with the largest weight for and against an instance."""

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
# In these windows the sound comes from the wrong instance, in all others from the right one.
WRONG_WINDOWS = (8, 9, 20, 21)
SUPPORT = ((10**9, 30.0), (2 * 10**9, -10.0), (3 * 10**9, 60.0))


@pytest.fixture(scope="module")
def decided() -> tuple[SourceEstimator, Verdict, MapSnapshot]:
    rng = np.random.default_rng(0)
    estimator, chooser = SourceEstimator(SourceConfig()), InstanceChooser(ChoiceConfig())
    instances = tuple(replace(instance(k, place), support=SUPPORT) for k, place in enumerate(PLACES))
    map_snapshot = snapshot(instances)
    for k in range(40):
        window = evidence(k, PLACES[WRONG if k in WRONG_WINDOWS else RIGHT], rng)
        estimator.add(window)
        verdict = chooser.decide(estimator, map_snapshot, window.stamp_ns, window.stamp_ns)
    return estimator, verdict, map_snapshot


def reasons_of(decided: tuple[SourceEstimator, Verdict, MapSnapshot], object_id: int) -> Reasons:
    estimator, verdict, map_snapshot = decided
    return next(
        reasons for reasons in explain(estimator, verdict, map_snapshot.instances) if reasons.object_id == object_id
    )


def test_windows_with_sound_at_the_rival_count_against_the_instance(
    decided: tuple[SourceEstimator, Verdict, MapSnapshot],
) -> None:
    estimator, verdict, map_snapshot = decided
    assert verdict.sounding[0].instance.id == RIGHT
    stamps_ns, gain = estimator.window_preferences(PLACES[RIGHT], PLACES[WRONG])
    number = np.round(stamps_ns / 0.25e9).astype(int) - 1
    assert set(number[np.argsort(gain)[:4]].tolist()) == set(WRONG_WINDOWS)
    assert (gain[~np.isin(number, WRONG_WINDOWS)] > 0).mean() > 0.9


def test_reasons_are_the_strongest_on_each_side_as_shares(
    decided: tuple[SourceEstimator, Verdict, MapSnapshot],
) -> None:
    reasons = reasons_of(decided, RIGHT)
    assert reasons.rank == 0 and reasons.rival_id != RIGHT and reasons.probability > reasons.rival_probability
    assert 0 < len(reasons.windows) <= 2 * MAX_REASONS
    assert [stamp for stamp, _ in reasons.windows] == sorted(stamp for stamp, _ in reasons.windows)
    assert 0 < sum(abs(share) for _, share in reasons.windows) <= 1
    assert reasons.views == ((10**9, 0.3), (2 * 10**9, -0.1), (3 * 10**9, 0.6))


def test_other_candidates_are_explained_against_the_most_probable_one(
    decided: tuple[SourceEstimator, Verdict, MapSnapshot],
) -> None:
    estimator, verdict, _ = decided
    other = next(c for c, _ in verdict.sources[0].candidates if c not in (RIGHT, None))
    reasons = reasons_of(decided, other)
    assert reasons.rank > 0 and reasons.rival_id == RIGHT
    assert sum(share for _, share in reasons.windows) < 0


def test_reasons_in_words(decided: tuple[SourceEstimator, Verdict, MapSnapshot], tmp_path: Path) -> None:
    estimator, verdict, map_snapshot = decided
    reasons = why_json(explain(estimator, verdict, map_snapshot.instances), 0)
    (tmp_path / "why.json").write_text(json.dumps(reasons))
    (tmp_path / "objects.json").write_text(json.dumps(objects_json(verdict, map_snapshot, 0)))
    text = explanation_text(tmp_path)
    assert text.startswith(f"source {verdict.sources[0].id}: object {RIGHT} with ") and "ahead of" in text
    assert "3.00 s (+60.0%), 1.00 s (+30.0%)" in text and "2.00 s (-10.0%)" in text
    assert explanation_text(tmp_path, RIGHT) == text
    with pytest.raises(FolderError, match="object 77 is not among"):
        explanation_text(tmp_path, 77)
    (tmp_path / "why.json").write_text("[]")
    assert explanation_text(tmp_path).startswith("no object sounds")
