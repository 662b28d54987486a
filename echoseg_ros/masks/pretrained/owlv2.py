"""Detector `owlv2`: OWLv2 (Minderer, Gritsenko & Houlsby, NeurIPS 2023) finds boxes for `masks.prompts`."""

from __future__ import annotations

import numpy as np
import torch

from echoseg_ros.config import MaskConfig
from echoseg_ros.masks.pretrained.boxes import Boxes
from echoseg_ros.model_folder import ModelFolder, model_class, split_names
from echoseg_ros.types import RgbImage

# A model that fits, with its licence and download command, for error messages.
RECOMMENDED_MODEL = (
    "google/owlv2-base-patch16-ensemble (Apache-2.0; hf download google/owlv2-base-patch16-ensemble --local-dir FOLDER)"
)
# Sentence around each prompt, as in the model's training.
_SENTENCE = "a photo of a {}"


class Owlv2Detector:
    """Tokenises the prompts once. Raises BackendError without package, model or prompts."""

    def __init__(self, config: MaskConfig, device: str = "cpu") -> None:
        self.prompts = split_names(config.prompts, "masks.prompts", "kettle, clock, phone")
        folder = ModelFolder.find("masks.detector_path", config.detector_path, RECOMMENDED_MODEL)
        self._model = folder.load_model(model_class("Owlv2ForObjectDetection"), device, half=True)
        self._image_processor = folder.load_component(model_class("Owlv2ImageProcessorPil", "Owlv2ImageProcessor"))
        texts = [_SENTENCE.format(prompt) for prompt in self.prompts]
        tokenizer = folder.load_component(model_class("AutoTokenizer"))
        longest = self._model.config.text_config.max_position_embeddings
        words = tokenizer(texts, padding="max_length", truncation=True, max_length=longest, return_tensors="pt")
        self._words = {name: words[name].to(device) for name in ("input_ids", "attention_mask")}

    def find(self, rgb: RgbImage, min_score: float) -> Boxes:
        """See Detector."""
        pixels = self._image_processor(rgb, return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            found = self._model(pixel_values=pixels.to(self._model.device, self._model.dtype), **self._words)
        best = found.logits[0].float().sigmoid().max(dim=-1)
        scores = best.values.cpu().numpy()
        accepted = scores >= min_score
        center, size = np.split(found.pred_boxes[0].float().cpu().numpy()[accepted], 2, axis=1)
        # Boxes are shares of the image padded to a square at its right or lower end.
        corners = np.hstack([center - size / 2, center + size / 2]) * max(rgb.shape[:2])
        names = tuple(self.prompts[k] for k in best.indices.cpu().numpy()[accepted])
        return Boxes(corners.astype(np.float32), scores[accepted].astype(np.float32), names)
