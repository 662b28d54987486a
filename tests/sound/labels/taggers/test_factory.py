"""Settings of taggers that cannot work are refused in one line."""

from __future__ import annotations

import pytest

from echoseg_ros.config import LabelConfig
from echoseg_ros.errors import BackendError
from echoseg_ros.sound.labels.taggers.factory import make_tagger


@pytest.mark.parametrize(
    ("tagger", "name", "licence"), [("clap", "laion/clap-htsat-unfused", "Apache-2.0"), ("ast", "MIT/ast", "BSD-3")]
)
def test_a_missing_folder_gives_one_line_with_model_and_licence(tagger: str, name: str, licence: str) -> None:
    with pytest.raises(BackendError, match=f"/nowhere: no config.json there.*{name}.*{licence}") as caught:
        make_tagger(LabelConfig(tagger=tagger, model_path="/nowhere", classes="clock tick"))
    assert "\n" not in str(caught.value)


def test_a_model_tagger_needs_its_settings() -> None:
    with pytest.raises(BackendError, match="label.model_path is not set"):
        make_tagger(LabelConfig(tagger="ast"))
    with pytest.raises(BackendError, match="label.classes is empty"):
        make_tagger(LabelConfig(tagger="clap", classes=" , "))
