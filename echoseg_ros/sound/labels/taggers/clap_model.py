"""Zero-shot tagger with CLAP (Wu et al., ICASSP 2023): the similarity of a sound to each text in `label.classes`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from echoseg_ros.config import LabelConfig
from echoseg_ros.model_folder import ModelFolder, import_transformers, split_names
from echoseg_ros.sound.labels.filters import resampled
from echoseg_ros.sound.labels.taggers.factory import MODEL_PATH

# A model that fits, with its licence and download command, for error messages.
RECOMMENDED_MODEL = "laion/clap-htsat-unfused (Apache-2.0; hf download laion/clap-htsat-unfused --local-dir FOLDER)"
# CLAP was trained on sentences, so a class is put into one.
SENTENCE = "This is a sound of {}."


class ClapTagger:
    """Embeds the texts once and the sound in each call. Raises BackendError without a model or classes."""

    def __init__(self, config: LabelConfig) -> None:
        self.classes = split_names(config.classes, "label.classes", "clock tick, dog bark, rain")
        folder = ModelFolder.find(MODEL_PATH, config.model_path, RECOMMENDED_MODEL)
        transformers = import_transformers()
        self._model = folder.load_model(transformers.ClapModel)
        self._processor = folder.load_component(transformers.ClapProcessor)
        self._rate_hz = float(self._processor.feature_extractor.sampling_rate)
        self._texts = self._embedded_texts()

    def _embedded_texts(self) -> torch.Tensor:  # [C, E]
        words = self._processor.tokenizer(
            [SENTENCE.format(name) for name in self.classes], return_tensors="pt", padding=True
        )
        with torch.inference_mode():
            return _unit(_embedding(self._model.get_text_features(**words)))

    def tag(self, signal: NDArray[np.floating[Any]], rate_hz: float) -> list[tuple[str, float]]:
        """See Tagger. The probabilities sum to 1 over the given classes, even if none of them fits."""
        if not len(signal):
            return []
        longest = self._processor.feature_extractor.nb_max_samples  # of longer signals CLAP takes a random part
        samples = resampled(signal, rate_hz, self._rate_hz)[-longest:]
        inputs = self._processor.feature_extractor(samples, sampling_rate=round(self._rate_hz), return_tensors="pt")
        with torch.inference_mode():
            sound = _unit(_embedding(self._model.get_audio_features(**inputs)))
            logits = self._model.logit_scale_a.exp() * sound @ self._texts.T
        shares = torch.softmax(logits[0], dim=0).tolist()
        return sorted(zip(self.classes, shares), key=lambda pair: -pair[1])


def _embedding(features: object) -> torch.Tensor:
    """The embedding: newer versions of the package return it within an output object, older ones alone."""
    found = getattr(features, "pooler_output", features)
    assert isinstance(found, torch.Tensor)
    return found


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    unit: torch.Tensor = vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    return unit
