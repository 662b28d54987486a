"""Tagger with AST, the audio spectrogram transformer (Gong, Chung & Glass 2021): classes of AudioSet or of fine-tuning."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from echoseg_ros.config import LabelConfig
from echoseg_ros.model_folder import ModelFolder, import_transformers
from echoseg_ros.sound.labels.filters import resampled
from echoseg_ros.sound.labels.taggers.factory import MODEL_PATH

# A model that fits, with its licence and download command, for error messages.
RECOMMENDED_MODEL = (
    "MIT/ast-finetuned-audioset-10-10-0.4593 (BSD-3-Clause; "
    "hf download MIT/ast-finetuned-audioset-10-10-0.4593 --local-dir FOLDER)"
)
# Number of names that are returned.
MAX_NAMES = 10


class AstTagger:
    """Names are the classes of the model.

    Classes of AudioSet are not exclusive: each has an independent probability. With config.problem_type
    "single_label_classification" the probabilities sum to 1. Raises BackendError without the model.
    """

    def __init__(self, config: LabelConfig) -> None:
        folder = ModelFolder.find(MODEL_PATH, config.model_path, RECOMMENDED_MODEL)
        transformers = import_transformers()
        self._model = folder.load_model(transformers.ASTForAudioClassification)
        self._extractor = folder.load_component(transformers.ASTFeatureExtractor)
        self._rate_hz = float(self._extractor.sampling_rate)
        self._exclusive = self._model.config.problem_type == "single_label_classification"

    def tag(self, signal: NDArray[np.floating[Any]], rate_hz: float) -> list[tuple[str, float]]:
        """See Tagger; at most MAX_NAMES classes."""
        if not len(signal):
            return []
        samples = resampled(signal, rate_hz, self._rate_hz)
        inputs = self._extractor(samples, sampling_rate=round(self._rate_hz), return_tensors="pt")
        with torch.inference_mode():
            logits = self._model(**inputs).logits[0]
        probabilities = torch.softmax(logits, dim=0) if self._exclusive else torch.sigmoid(logits)
        values, classes = probabilities.topk(min(MAX_NAMES, len(probabilities)))
        names = self._model.config.id2label
        return [(str(names[index]), value) for index, value in zip(classes.tolist(), values.tolist())]
