"""What is seen against what is heard, with tiny random models."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_models

from echoseg_ros.config import LabelConfig
from echoseg_ros.errors import BackendError
from echoseg_ros.masks.audio_visual import MAX_ODDS, ClapScorer, factors, instance_factors
from echoseg_ros.sound.taggers.backend import make_tagger
from echoseg_ros.types import Box, Instance


def noise(seconds: float, rate_hz: int) -> np.ndarray:
    return 0.05 * np.random.default_rng(0).standard_normal(round(seconds * rate_hz)).astype(np.float32)


@pytest.fixture(scope="module")
def clap_folder(models, tmp_path_factory):
    return tiny_models.save_clap(models, tmp_path_factory.mktemp("clap"))


def shares(clap_folder, classes: str) -> dict[str, float]:
    tagger = make_tagger(LabelConfig(tagger="clap", model_path=str(clap_folder), classes=classes))
    return dict(tagger.tag(noise(2.0, 16000), 16000))


def instance(number: int, names: tuple[tuple[str, float], ...]) -> Instance:
    box = Box(np.zeros(3), np.ones(3), np.array([0.0, 0, 0, 1]))
    return Instance(number, np.zeros(0, np.int64), np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8), np.zeros(3),
                    box, 3, 1.0, names=names)  # fmt: skip


def test_things_score_as_their_names_do(clap_folder) -> None:
    scorer = ClapScorer(str(clap_folder), ["clock", "phone", "clock", "kettle"])
    heard = shares(clap_folder, "clock,phone,kettle")
    sure = [(("clock", 1.0),), (("kettle", 1.0),), (("clock", 1.0),), (("phone", 1.0),)]
    scores = scorer.score(sure, noise(2.0, 16000), 16000)
    np.testing.assert_allclose(scores, [heard[votes[0][0]] for votes in sure], atol=1e-6)
    assert scores.dtype == np.float32 and len(set(scores.tolist())) == 3


def test_a_thing_that_may_be_two_things_scores_between_them(clap_folder) -> None:
    scorer = ClapScorer(str(clap_folder), ["clock", "phone"])
    heard = shares(clap_folder, "clock,phone")
    (mixed,) = scorer.score([(("clock", 0.75), ("phone", 0.25))], noise(2.0, 16000), 16000)
    assert mixed == pytest.approx(0.75 * heard["clock"] + 0.25 * heard["phone"], abs=1e-6)


def test_what_has_no_name_or_an_unheard_of_one_is_as_likely_as_chance_has_it(clap_folder) -> None:
    scorer = ClapScorer(str(clap_folder), ["clock", "phone", "kettle"])
    scores = scorer.score([(), (("unicorn", 1.0),)], noise(2.0, 16000), 16000)
    np.testing.assert_allclose(scores, 1 / 3, atol=1e-6)


def test_factors_of_instances_by_their_ids(clap_folder) -> None:
    scorer = ClapScorer(str(clap_folder), ["clock", "phone"])
    heard = shares(clap_folder, "clock,phone")
    things = [instance(7, (("clock", 1.0),)), instance(9, (("phone", 1.0),)), instance(12, ())]
    made = instance_factors(scorer, things, noise(2.0, 16000), 16000)
    assert list(made) == [7, 9, 12]
    assert made[7] / made[9] == pytest.approx(heard["clock"] / heard["phone"], rel=1e-4)
    assert instance_factors(scorer, things[2:], noise(2.0, 16000), 16000) == {}, "nobody has a name"


def test_what_is_missing_is_one_line_with_model_and_licence() -> None:
    with pytest.raises(BackendError, match="/nowhere.*laion/clap-htsat-unfused.*Apache-2.0"):
        ClapScorer("/nowhere", ["clock"])
    with pytest.raises(BackendError, match="label.classes is empty"):
        ClapScorer("/nowhere", [])


def test_factors_keep_the_odds_and_their_bound() -> None:
    made = factors(np.array([0.6, 0.3, 0.1]))
    np.testing.assert_allclose(made[0] / made[1], 2.0)
    np.testing.assert_allclose(np.prod(made), 1.0)
    np.testing.assert_allclose(factors(np.full(3, 0.2)), 1.0)
    extreme = factors(np.array([1.0, 0.0]))
    assert extreme[0] / extreme[1] == pytest.approx(MAX_ODDS)
    assert len(factors(np.zeros(0))) == 0
