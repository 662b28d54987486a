"""The CLAP tagger against the model as its authors call it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from white_noise import white_noise

from echoseg_ros.config import LabelConfig
from echoseg_ros.errors import BackendError
from echoseg_ros.sound.labels.taggers.factory import Tagger, make_tagger

CLASSES = "clock tick, dog bark,rain"


def clap(folder: Path) -> Tagger:
    return make_tagger(LabelConfig(tagger="clap", model_path=str(folder), classes=CLASSES))


def test_each_class_has_a_probability(clap_folder: Path) -> None:
    tags = clap(clap_folder).tag(white_noise(3.0, 16000), 16000)
    assert {name for name, _ in tags} == {"clock tick", "dog bark", "rain"}
    probabilities = [probability for _, probability in tags]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1.0, abs=1e-5)


def test_probabilities_are_those_of_the_model(clap_folder: Path, models: Any) -> None:
    """Separate embeddings against one pass of the model, with a signal at 16 kHz that is resampled to 48 kHz."""
    import torch
    from scipy.signal import resample_poly

    signal = white_noise(2.0, 16000)
    tags = dict(clap(clap_folder).tag(signal, 16000))
    processor = models.ClapProcessor.from_pretrained(clap_folder)
    texts = [f"This is a sound of {name}." for name in ("clock tick", "dog bark", "rain")]
    words = processor.tokenizer(texts, return_tensors="pt", padding=True)
    audio = processor.feature_extractor(resample_poly(signal, 3, 1), sampling_rate=48000, return_tensors="pt")
    with torch.inference_mode():
        model = models.ClapModel.from_pretrained(clap_folder).eval()
        expected = model(**words, **audio).logits_per_audio.softmax(dim=-1)[0].tolist()
    np.testing.assert_allclose([tags["clock tick"], tags["dog bark"], tags["rain"]], expected, atol=1e-5)


def test_a_long_sound_has_the_same_tags_each_time(clap_folder: Path) -> None:
    """The feature extractor of CLAP takes a random part of signals longer than ten seconds."""
    tagger = clap(clap_folder)
    assert tagger.tag(white_noise(14.0, 16000), 16000) == tagger.tag(white_noise(14.0, 16000), 16000)


def test_a_missing_package_gives_one_line_with_the_install_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import sys

    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(BackendError, match=r"pip install 'echoseg_ros\[models\]'") as caught:
        clap(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_model_of_another_type_is_refused(ast_folder: Path) -> None:
    """The package would only warn, and then use random weights."""
    with pytest.raises(BackendError, match="holds a model of type 'audio-spectrogram-transformer', want 'clap'"):
        clap(ast_folder)
