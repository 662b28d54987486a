"""Prepares images for SAM 2.1 and RF-DETR by the settings in the model's folder, with torch alone.

Their processors in transformers need torchvision, whose build must match that of torch. With another build (that of PyPI
beside a torch for the CPU) transformers fails as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from echoseg_ros.errors import BackendError
from echoseg_ros.model_folder import ModelFolder
from echoseg_ros.types import RgbImage

# Factor from 8-bit values to [0, 1], the default of `rescale_factor`.
_BYTE_SCALE = 1 / 255


@dataclass(frozen=True)
class ImagePreprocessor:
    """Resizes and normalises images to a model's input.

    size: `size` of preprocessor_config.json: height and width, or shortest_edge (and longest_edge), pixels; mean,
    deviation: by channel, subtracted and divided by; scale: factor from 8-bit values; smooth: low-pass before reduction
    and round to whole numbers, as SAM 2.1's processor does and RF-DETR's does not.
    """

    size: dict[str, int]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    scale: float
    smooth: bool

    @staticmethod
    def from_folder(folder: ModelFolder, smooth: bool, square_px: int | None = None) -> ImagePreprocessor:
        """The preprocessor by the settings of a model's folder.

        square_px: side of a square that replaces the folder's size. Raises BackendError without settings or size.
        """
        settings = folder.image_settings()
        size = _size(settings.get("size") if square_px is None else square_px)
        if size is None:
            raise BackendError(
                f"{folder.setting} {folder.path}: the size of images is {settings.get('size')}: want height and width"
            )
        normalised = settings.get("do_normalize", True)
        mean, deviation = (settings[key] for key in ("image_mean", "image_std")) if normalised else ((0.0,), (1.0,))
        scale = settings.get("rescale_factor", _BYTE_SCALE) if settings.get("do_rescale", True) else 1.0
        return ImagePreprocessor(size, tuple(mean), tuple(deviation), float(scale), smooth)

    def __call__(self, rgb: RgbImage) -> Tensor:
        """[1, 3, h, w] float32 of an image [H, W, 3] uint8."""
        image = torch.from_numpy(rgb).permute(2, 0, 1)[None].float()
        image = F.interpolate(
            image, size=self.target(*rgb.shape[:2]), mode="bilinear", align_corners=False, antialias=self.smooth
        )
        if self.smooth:
            image = image.round().clamp(0, 255)
        mean, deviation = (torch.tensor(values)[:, None, None] for values in (self.mean, self.deviation))
        return (image * self.scale - mean) / deviation

    def target(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) after resizing an image of this height and width."""
        if "height" in self.size:
            return self.size["height"], self.size["width"]
        short, long = min(height, width), max(height, width)
        edge = self.size["shortest_edge"]
        if "longest_edge" in self.size and round(long / short * edge) > self.size["longest_edge"]:
            edge = round(self.size["longest_edge"] * short / long)
        return (edge, int(edge * width / height)) if height <= width else (int(edge * height / width), edge)


def _size(size: Any) -> dict[str, int] | None:
    """`size` as a dict; older files hold one number. None if it states neither height and width nor an edge."""
    if isinstance(size, int):
        return {"height": size, "width": size}
    if not isinstance(size, dict) or not ("shortest_edge" in size or {"height", "width"} <= set(size)):
        return None
    return {key: int(value) for key, value in size.items() if value is not None}
