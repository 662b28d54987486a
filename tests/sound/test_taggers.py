from __future__ import annotations

import numpy as np
import pytest
import tiny_models

from echoseg_ros.config import LabelConfig
from echoseg_ros.errors import BackendError
from echoseg_ros.sound.labels.taggers.factory import make_tagger

CLASSES = "clock tick, dog bark,rain"


def noise(seconds: float, rate_hz: int) -> np.ndarray:
    return 0.05 * np.random.default_rng(0).standard_normal(round(seconds * rate_hz)).astype(np.float32)


@pytest.fixture(scope="module")
def models():
    return pytest.importorskip("transformers", reason="needs transformers: pip install 'echoseg_ros[models]'")


@pytest.fixture(scope="module")
def clap_folder(models, tmp_path_factory):
    """A CLAP of two small layers with random weights, saved as the real ones are."""
    return tiny_models.save_clap(models, tmp_path_factory.mktemp("clap"))


@pytest.fixture(scope="module")
def ast_folder(models, tmp_path_factory):
    import torch

    folder = tmp_path_factory.mktemp("ast")
    config = models.ASTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, max_length=128,
        num_mel_bins=32, id2label={0: "tick", 1: "bark", 2: "rain"},
    )  # fmt: skip
    torch.manual_seed(0)
    models.ASTForAudioClassification(config).save_pretrained(folder)
    models.ASTFeatureExtractor(num_mel_bins=32, max_length=128).save_pretrained(folder)
    return folder


def clap(folder, classes: str = CLASSES):
    return make_tagger(LabelConfig(tagger="clap", model_path=str(folder), classes=classes))


def test_clap_gives_each_class_its_share(clap_folder) -> None:
    tags = clap(clap_folder).tag(noise(3.0, 16000), 16000)
    assert {name for name, _ in tags} == {"clock tick", "dog bark", "rain"}
    shares = [share for _, share in tags]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1.0, abs=1e-5)


def test_clap_is_asked_as_its_authors_do(clap_folder, models) -> None:
    """Our embeddings, made apart, against one pass of the model; at 16 kHz, which is resampled to 48 kHz."""
    import torch
    from scipy.signal import resample_poly

    sound = noise(2.0, 16000)
    tags = dict(clap(clap_folder).tag(sound, 16000))
    processor = models.ClapProcessor.from_pretrained(clap_folder)
    texts = [f"This is a sound of {name}." for name in ("clock tick", "dog bark", "rain")]
    words = processor.tokenizer(texts, return_tensors="pt", padding=True)
    heard = processor.feature_extractor(resample_poly(sound, 3, 1), sampling_rate=48000, return_tensors="pt")
    with torch.inference_mode():
        model = models.ClapModel.from_pretrained(clap_folder).eval()
        expected = model(**words, **heard).logits_per_audio.softmax(dim=-1)[0].tolist()
    np.testing.assert_allclose([tags["clock tick"], tags["dog bark"], tags["rain"]], expected, atol=1e-5)


def test_clap_says_the_same_of_a_long_sound_each_time(clap_folder) -> None:
    """Its own feature extractor takes a piece at random of what is longer than ten seconds."""
    tagger = clap(clap_folder)
    assert tagger.tag(noise(14.0, 16000), 16000) == tagger.tag(noise(14.0, 16000), 16000)


@pytest.mark.parametrize("rate_hz", [16000, 44100])
def test_ast_names_its_own_classes(ast_folder, models, rate_hz: int) -> None:
    import torch
    from scipy.signal import resample_poly

    tagger = make_tagger(LabelConfig(tagger="ast", model_path=str(ast_folder)))
    sound = noise(1.5, rate_hz)
    tags = tagger.tag(sound, rate_hz)
    assert [share for _, share in tags] == sorted((share for _, share in tags), reverse=True)
    extractor = models.ASTFeatureExtractor.from_pretrained(ast_folder)
    at_model = sound if rate_hz == 16000 else resample_poly(sound, 160, 441)
    with torch.inference_mode():
        model = models.ASTForAudioClassification.from_pretrained(ast_folder).eval()
        logits = model(**extractor(at_model, sampling_rate=16000, return_tensors="pt")).logits[0]
    expected = dict(zip(("tick", "bark", "rain"), torch.sigmoid(logits).tolist()))
    assert dict(tags) == pytest.approx(expected, abs=1e-4)


def test_a_missing_folder_is_one_line_with_model_and_licence() -> None:
    for tagger, name, licence in (("clap", "laion/clap-htsat-unfused", "Apache-2.0"), ("ast", "MIT/ast", "BSD-3")):
        with pytest.raises(BackendError, match=f"/nowhere: no config.json there.*{name}.*{licence}") as caught:
            make_tagger(LabelConfig(tagger=tagger, model_path="/nowhere", classes=CLASSES))
        assert "\n" not in str(caught.value)
    with pytest.raises(BackendError, match="label.model_path is not set"):
        make_tagger(LabelConfig(tagger="ast"))
    with pytest.raises(BackendError, match="label.classes is empty"):
        make_tagger(LabelConfig(tagger="clap", classes=" , "))


def test_a_missing_package_is_one_line_that_says_how_to_install_it(monkeypatch, tmp_path) -> None:
    import sys

    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(BackendError, match=r"pip install 'echoseg_ros\[models\]'") as caught:
        clap(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_model_of_another_kind_is_refused(clap_folder, ast_folder) -> None:
    """The package only warns, and then answers with weights it makes up."""
    with pytest.raises(BackendError, match="holds a model of type 'clap', want 'audio-spectrogram-transformer'"):
        make_tagger(LabelConfig(tagger="ast", model_path=str(clap_folder)))
    with pytest.raises(BackendError, match="holds a model of type 'audio-spectrogram-transformer', want 'clap'"):
        clap(ast_folder)


def test_weights_that_are_missing_are_not_made_up(ast_folder, models, tmp_path) -> None:
    model = models.ASTForAudioClassification.from_pretrained(ast_folder)
    weights = {name: value for name, value in model.state_dict().items() if "classifier.dense" not in name}
    model.save_pretrained(tmp_path, state_dict=weights)
    models.ASTFeatureExtractor.from_pretrained(ast_folder).save_pretrained(tmp_path)
    with pytest.raises(BackendError, match="2 weights are missing, such as classifier.dense.bias"):
        make_tagger(LabelConfig(tagger="ast", model_path=str(tmp_path)))
