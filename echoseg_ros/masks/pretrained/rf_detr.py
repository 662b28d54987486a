"""RF-DETR (Robinson et al., 2025) with its head for instance segmentation: boxes, classes and masks in one pass."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812

from echoseg_ros.config import MaskConfig
from echoseg_ros.errors import BackendError
from echoseg_ros.masks.pretrained.overlaps import make_proposal
from echoseg_ros.masks.pretrained.preprocessing import Preparation
from echoseg_ros.model_folder import ModelFolder, model_class
from echoseg_ros.types import CameraFrame, FloatImage, MaskProposal

KNOWN = "Roboflow/rf-detr-seg-medium (Apache-2.0; hf download Roboflow/rf-detr-seg-medium --local-dir FOLDER)"


class RfDetrMasks:
    """Its classes are those it was trained on (COCO's 80 kinds); `masks.prompts` may name the ones to keep.

    Raises BackendError without package or model, and for prompts that it does not know.
    """

    def __init__(self, config: MaskConfig, device: str = "cpu") -> None:
        self._config = config
        folder = ModelFolder.find("masks.model_path", config.model_path, KNOWN)
        self._model = folder.load_model(model_class("RfDetrForInstanceSegmentation"), device, half=True)
        self._prepare = Preparation.of(folder, smooth=False)
        self.names: dict[int, str] = {int(k): str(name) for k, name in self._model.config.id2label.items()}
        wanted = {name for name in (text.strip() for text in config.prompts.split(",")) if name}
        unknown = wanted - set(self.names.values())
        if unknown:
            raise BackendError(f"masks.prompts {', '.join(sorted(unknown))!r}: {_knows(folder, self.names)}")
        self._wanted = sorted(k for k, name in self.names.items() if not wanted or name in wanted)

    def propose(
        self,
        frame: CameraFrame,
        rendered_depth_m: FloatImage | None = None,
        rendered_alpha: FloatImage | None = None,
    ) -> MaskProposal:
        """Candidate objects at the camera's size, with their names. The image may be larger; depth is not looked at."""
        pixels = self._prepare(frame.rgb).to(self._model.device, self._model.dtype)
        with torch.inference_mode():
            found = self._model(pixel_values=pixels)
            classes = [k for k in self._wanted if k < found.logits.shape[-1]]
            best = found.logits[0][:, classes].float().sigmoid().max(dim=-1)
            scores, order = best.values.sort(descending=True, stable=True)
            good = order[scores >= self._config.min_score / 2][: self._config.max_count]
            shape = (frame.camera.height, frame.camera.width)
            logits = F.interpolate(found.pred_masks[:, good].float(), shape, mode="bilinear")[0]
        masks, worth = (logits > 0).cpu().numpy(), best.values[good].cpu().numpy()
        names = tuple(self.names[classes[k]] for k in best.indices[good].tolist())
        sure = worth >= self._config.min_score
        return make_proposal(masks, worth, names, sure, frame.stamp_ns, self._config.backend)


def _knows(folder: ModelFolder, names: dict[int, str]) -> str:
    """What a model can find, in a few words."""
    known = sorted(set(names.values()))
    return f"the model in {folder.path} knows {', '.join(known[:8])}" + (" ..." if len(known) > 8 else "")
