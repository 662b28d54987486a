"""Mask backend `rf_detr`: RF-DETR (Robinson et al., 2025) with its head for instance segmentation."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812

from echoseg_ros.config import MaskConfig
from echoseg_ros.errors import BackendError
from echoseg_ros.masks.pretrained.overlapping_masks import merge_masks
from echoseg_ros.masks.pretrained.preprocessing import ImagePreprocessor
from echoseg_ros.model_folder import ModelFolder, model_class
from echoseg_ros.types import CameraFrame, FloatImage, MaskProposal

# A model that fits, with its licence and download command, for error messages.
RECOMMENDED_MODEL = (
    "Roboflow/rf-detr-seg-medium (Apache-2.0; hf download Roboflow/rf-detr-seg-medium --local-dir FOLDER)"
)


class RfDetrMasks:
    """Proposals of RF-DETR for its own classes (COCO's 80), or for those of them that `masks.prompts` names.

    Raises BackendError without package or model, and for prompts that are no classes of the model.
    """

    def __init__(self, config: MaskConfig, device: str = "cpu") -> None:
        self._config = config
        folder = ModelFolder.find("masks.model_path", config.model_path, RECOMMENDED_MODEL)
        self._model = folder.load_model(model_class("RfDetrForInstanceSegmentation"), device, half=True)
        self._preprocess = ImagePreprocessor.from_folder(folder, smooth=False)
        self.names: dict[int, str] = {int(k): str(name) for k, name in self._model.config.id2label.items()}
        wanted = {name for name in (text.strip() for text in config.prompts.split(",")) if name}
        unknown = wanted - set(self.names.values())
        if unknown:
            raise BackendError(f"masks.prompts {', '.join(sorted(unknown))!r}: {_known_classes(folder, self.names)}")
        self._wanted = sorted(k for k, name in self.names.items() if not wanted or name in wanted)

    def propose(
        self,
        frame: CameraFrame,
        rendered_depth_m: FloatImage | None = None,
        rendered_alpha: FloatImage | None = None,
    ) -> MaskProposal:
        """See MaskBackend. Proposals have names; depth is not used."""
        pixels = self._preprocess(frame.rgb).to(self._model.device, self._model.dtype)
        with torch.inference_mode():
            found = self._model(pixel_values=pixels)
            classes = [k for k in self._wanted if k < found.logits.shape[-1]]
            best = found.logits[0][:, classes].float().sigmoid().max(dim=-1)
            scores, order = best.values.sort(descending=True, stable=True)
            good = order[scores >= self._config.min_score / 2][: self._config.max_count]
            shape = (frame.camera.height, frame.camera.width)
            logits = F.interpolate(found.pred_masks[:, good].float(), shape, mode="bilinear")[0]
        masks, kept_scores = (logits > 0).cpu().numpy(), best.values[good].cpu().numpy()
        names = tuple(self.names[classes[k]] for k in best.indices[good].tolist())
        confident = kept_scores >= self._config.min_score
        return merge_masks(masks, kept_scores, names, confident, frame.stamp_ns, self._config.backend)


def _known_classes(folder: ModelFolder, names: dict[int, str]) -> str:
    """The model's classes in short, for an error message."""
    known = sorted(set(names.values()))
    return f"the model in {folder.path} knows {', '.join(known[:8])}" + (" ..." if len(known) > 8 else "")
