"""Detector `grounding_dino`: Grounding DINO (Liu et al., ECCV 2024) finds boxes for `masks.prompts`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from echoseg_ros.config import MaskConfig
from echoseg_ros.errors import BackendError
from echoseg_ros.masks.pretrained.boxes import Boxes
from echoseg_ros.model_folder import ModelFolder, model_class, split_names
from echoseg_ros.types import RgbImage

# A model that fits, with its licence and download command, for error messages.
RECOMMENDED_MODEL = (
    "IDEA-Research/grounding-dino-tiny (Apache-2.0; hf download IDEA-Research/grounding-dino-tiny --local-dir FOLDER)"
)


class GroundingDinoDetector:
    """Gives all prompts to the model as one text, "kettle. clock."; the tokens that match a box best give its name.

    Raises BackendError without package, model or prompts, and for more prompts than the model reads.
    """

    def __init__(self, config: MaskConfig, device: str = "cpu") -> None:
        self.prompts = [
            prompt.lower().replace(".", " ").strip()
            for prompt in split_names(config.prompts, "masks.prompts", "kettle, clock, phone")
        ]
        folder = ModelFolder.find("masks.detector_path", config.detector_path, RECOMMENDED_MODEL)
        # 32-bit on every device: masks of its text branch exceed the range of 16-bit numbers.
        self._model = folder.load_model(model_class("GroundingDinoForObjectDetection"), device)
        self._image_processor = folder.load_component(
            model_class("GroundingDinoImageProcessorPil", "GroundingDinoImageProcessor")
        )
        tokenizer = folder.load_component(model_class("AutoTokenizer"))
        words = tokenizer(". ".join(self.prompts) + ".", return_tensors="pt", return_token_type_ids=True)
        longest = self._model.config.max_text_len
        if words["input_ids"].shape[1] > longest:
            raise BackendError(f"masks.prompts: {len(self.prompts)} are more than this model reads ({longest} tokens)")
        self._words = {name: words[name].to(device) for name in ("input_ids", "attention_mask", "token_type_ids")}
        self._token_spans = _token_spans(tokenizer, words["input_ids"][0].tolist(), self.prompts)

    def find(self, rgb: RgbImage, min_score: float) -> Boxes:
        """See Detector."""
        inputs = self._image_processor(rgb, return_tensors="pt").to(self._model.device)
        with torch.inference_mode():
            found = self._model(**inputs, **self._words)
        tokens = found.logits[0].float().sigmoid().cpu().numpy()
        by_prompt = np.stack([tokens[:, span].max(axis=1) for span in self._token_spans], axis=1)
        scores = by_prompt.max(axis=1)
        accepted = scores >= min_score
        height, width = rgb.shape[:2]
        center, size = np.split(found.pred_boxes[0].float().cpu().numpy()[accepted], 2, axis=1)
        corners = np.hstack([center - size / 2, center + size / 2]) * [width, height, width, height]
        names = tuple(self.prompts[k] for k in by_prompt[accepted].argmax(axis=1))
        return Boxes(corners.astype(np.float32), scores[accepted].astype(np.float32), names)


def _token_spans(tokenizer: Any, sentence: list[int], prompts: list[str]) -> list[slice]:
    """The tokens of the whole text, which begins with a special one, that belong to each prompt."""
    spans, at = [], 1
    for prompt in prompts:
        length = len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
        spans.append(slice(at, at + length))
        at += length + 1  # the full stop
    if at + 1 != len(sentence):
        raise BackendError(
            f"masks.prompts {', '.join(prompts)!r}: this model's tokenizer joins words of several prompts"
        )
    return spans
