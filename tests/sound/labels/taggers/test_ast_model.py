"""The AST tagger against the model as its authors call it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from white_noise import white_noise

from echoseg_ros.config import LabelConfig
from echoseg_ros.errors import BackendError
from echoseg_ros.sound.labels.taggers.factory import make_tagger


@pytest.mark.parametrize("rate_hz", [16000, 44100])
def test_names_and_probabilities_are_those_of_the_model(ast_folder: Path, models: Any, rate_hz: int) -> None:
    import torch
    from scipy.signal import resample_poly

    tagger = make_tagger(LabelConfig(tagger="ast", model_path=str(ast_folder)))
    signal = white_noise(1.5, rate_hz)
    tags = tagger.tag(signal, rate_hz)
    probabilities = [probability for _, probability in tags]
    assert probabilities == sorted(probabilities, reverse=True)
    extractor = models.ASTFeatureExtractor.from_pretrained(ast_folder)
    at_model_rate = signal if rate_hz == 16000 else resample_poly(signal, 160, 441)
    with torch.inference_mode():
        model = models.ASTForAudioClassification.from_pretrained(ast_folder).eval()
        logits = model(**extractor(at_model_rate, sampling_rate=16000, return_tensors="pt")).logits[0]
    expected = dict(zip(("tick", "bark", "rain"), torch.sigmoid(logits).tolist()))
    assert dict(tags) == pytest.approx(expected, abs=1e-4)


def test_a_model_of_another_type_is_refused(clap_folder: Path) -> None:
    """The package would only warn, and then use random weights."""
    with pytest.raises(BackendError, match="holds a model of type 'clap', want 'audio-spectrogram-transformer'"):
        make_tagger(LabelConfig(tagger="ast", model_path=str(clap_folder)))


def test_missing_weights_are_an_error(ast_folder: Path, models: Any, tmp_path: Path) -> None:
    model = models.ASTForAudioClassification.from_pretrained(ast_folder)
    weights = {name: value for name, value in model.state_dict().items() if "classifier.dense" not in name}
    model.save_pretrained(tmp_path, state_dict=weights)
    models.ASTFeatureExtractor.from_pretrained(ast_folder).save_pretrained(tmp_path)
    with pytest.raises(BackendError, match="2 weights are missing, such as classifier.dense.bias"):
        make_tagger(LabelConfig(tagger="ast", model_path=str(tmp_path)))
