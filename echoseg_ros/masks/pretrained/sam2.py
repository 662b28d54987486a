"""SAM 2.1 (Ravi et al., ICLR 2025): masks of the boxes that a detector found."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray

from echoseg_ros.config import MaskConfig
from echoseg_ros.masks.pretrained.boxes import Boxes, make_detector, selected
from echoseg_ros.masks.pretrained.overlaps import make_proposal
from echoseg_ros.masks.pretrained.preprocessing import Preparation
from echoseg_ros.model_folder import ModelFolder, model_class
from echoseg_ros.types import CameraFrame, FloatImage, MaskProposal, RgbImage

KNOWN = "facebook/sam2.1-hiera-small (Apache-2.0; hf download facebook/sam2.1-hiera-small --local-dir FOLDER)"
# The image is encoded once; so many boxes are then decoded at a time.
BOXES_AT_ONCE = 16
# A mask that the model itself expects to be worse than this (IoU) is no proposal.
_MIN_QUALITY = 0.5


class Sam2Masks:
    """A detector's boxes as prompts, one mask each.

    A proposal's score is the detector's times what SAM thinks of its own mask. Raises BackendError without package,
    model, detector or prompts.
    """

    def __init__(self, config: MaskConfig, device: str = "cpu") -> None:
        self._config = config
        folder = ModelFolder.find("masks.model_path", config.model_path, KNOWN)
        # The published folders hold the video model, of which the one for images is a part.
        self._model = folder.load_model(model_class("Sam2Model"), device, half=True, also=("sam2_video",))
        # Whatever its shape, the image fills the model's square.
        self._prepare = Preparation.of(
            folder, smooth=True, square_px=self._model.config.prompt_encoder_config.image_size
        )
        self._detector = make_detector(config, device)

    def propose(
        self,
        frame: CameraFrame,
        rendered_depth_m: FloatImage | None = None,
        rendered_alpha: FloatImage | None = None,
    ) -> MaskProposal:
        """Candidate objects at the camera's size, with their names. The image may be larger; depth is not looked at."""
        height, width = frame.rgb.shape[:2]
        found = self._detector.find(frame.rgb, self._config.min_score / 2)
        boxes = selected(found, width, height, self._config.max_count)
        masks, quality = self.segment(frame.rgb, boxes, (frame.camera.height, frame.camera.width))
        sure = (boxes.scores >= self._config.min_score) & (quality >= _MIN_QUALITY)
        return make_proposal(masks, boxes.scores * quality, boxes.names, sure, frame.stamp_ns, self._config.backend)

    def segment(
        self, rgb: RgbImage, boxes: Boxes, shape: tuple[int, int]
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Masks [N, *shape] of boxes in an image [H, W, 3], and [N] the model's own estimate of their IoU."""
        height, width = rgb.shape[:2]
        if not len(boxes.scores):
            return np.zeros((0, *shape), bool), np.zeros(0, np.float32)
        device, dtype = self._model.device, self._model.dtype
        pixels = self._prepare(rgb)
        scale = np.array(pixels.shape[:1:-1], np.float32) / (width, height)
        corners = torch.from_numpy(boxes.corners_px * np.tile(scale, 2)).to(device, dtype)
        masks, quality = [], []
        with torch.inference_mode():
            image = self._model.get_image_embeddings(pixels.to(device, dtype))
            for some in corners.split(BOXES_AT_ONCE):
                found = self._model(image_embeddings=image, input_boxes=some[None], multimask_output=False)
                logits = F.interpolate(found.pred_masks[0].float(), shape, mode="bilinear")
                masks.append((logits[:, 0] > 0).cpu().numpy())
                quality.append(found.iou_scores[0, :, 0].float().clamp(0, 1).cpu().numpy())
        return np.concatenate(masks), np.concatenate(quality)
