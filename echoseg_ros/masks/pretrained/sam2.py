"""Mask backend `sam2`: SAM 2.1 (Ravi et al., ICLR 2025) makes masks of the boxes that a detector found."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray

from echoseg_ros.config import MaskConfig
from echoseg_ros.masks.pretrained.boxes import Boxes, select_boxes
from echoseg_ros.masks.pretrained.factory import make_detector
from echoseg_ros.masks.pretrained.overlapping_masks import merge_masks
from echoseg_ros.masks.pretrained.preprocessing import ImagePreprocessor
from echoseg_ros.model_folder import ModelFolder, model_class
from echoseg_ros.types import CameraFrame, FloatImage, MaskProposal, RgbImage

# A model that fits, with its licence and download command, for error messages.
RECOMMENDED_MODEL = (
    "facebook/sam2.1-hiera-small (Apache-2.0; hf download facebook/sam2.1-hiera-small --local-dir FOLDER)"
)
# Boxes that are decoded together; the image is encoded once.
BOX_BATCH = 16
# Least intersection over union with the truth that the model expects of its own mask.
_MIN_QUALITY = 0.5


class Sam2Masks:
    """Proposals of SAM 2.1, one mask for each box of a detector.

    The score is the detector's score times the quality that SAM expects of its mask. Raises BackendError without
    package, model, detector or prompts.
    """

    def __init__(self, config: MaskConfig, device: str = "cpu") -> None:
        self._config = config
        folder = ModelFolder.find("masks.model_path", config.model_path, RECOMMENDED_MODEL)
        # The published folders hold the video model, which includes the image model.
        self._model = folder.load_model(model_class("Sam2Model"), device, half=True, also=("sam2_video",))
        # An image of any aspect ratio is stretched to the model's square.
        self._preprocess = ImagePreprocessor.from_folder(
            folder, smooth=True, square_px=self._model.config.prompt_encoder_config.image_size
        )
        self._detector = make_detector(config, device)

    def propose(
        self,
        frame: CameraFrame,
        rendered_depth_m: FloatImage | None = None,
        rendered_alpha: FloatImage | None = None,
    ) -> MaskProposal:
        """See MaskBackend. Proposals have names; depth is not used."""
        height, width = frame.rgb.shape[:2]
        found = self._detector.find(frame.rgb, self._config.min_score / 2)
        boxes = select_boxes(found, width, height, self._config.max_count)
        masks, quality = self.segment(frame.rgb, boxes, (frame.camera.height, frame.camera.width))
        confident = (boxes.scores >= self._config.min_score) & (quality >= _MIN_QUALITY)
        return merge_masks(masks, boxes.scores * quality, boxes.names, confident, frame.stamp_ns, self._config.backend)

    def segment(
        self, rgb: RgbImage, boxes: Boxes, shape: tuple[int, int]
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Masks [N, *shape] of boxes in an image [H, W, 3], and [N] their intersection over union as the model expects it."""
        height, width = rgb.shape[:2]
        if not len(boxes.scores):
            return np.zeros((0, *shape), bool), np.zeros(0, np.float32)
        device, dtype = self._model.device, self._model.dtype
        pixels = self._preprocess(rgb)
        scale = np.array(pixels.shape[:1:-1], np.float32) / (width, height)
        corners = torch.from_numpy(boxes.corners_px * np.tile(scale, 2)).to(device, dtype)
        masks, quality = [], []
        with torch.inference_mode():
            image = self._model.get_image_embeddings(pixels.to(device, dtype))
            for batch in torch.split(corners, BOX_BATCH):
                found = self._model(image_embeddings=image, input_boxes=batch[None], multimask_output=False)
                logits = F.interpolate(found.pred_masks[0].float(), shape, mode="bilinear")
                masks.append((logits[:, 0] > 0).cpu().numpy())
                quality.append(found.iou_scores[0, :, 0].float().clamp(0, 1).cpu().numpy())
        return np.concatenate(masks), np.concatenate(quality)
