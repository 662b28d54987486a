"""Images as SAM 2.1 and RF-DETR want them, by the settings that lie in the model's folder.

Their processors in transformers need torchvision, whose wheels must match the build of torch: one that does not match
(that of PyPI beside a torch for the CPU) makes transformers fail as a whole. Resizing and normalising needs only torch.
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

_BYTE = 1 / 255


@dataclass(frozen=True)
class Preparation:
    """How an image becomes a model's input.

    size: of preprocessor_config.json: height and width, or shortest_edge (and longest_edge); smooth: reduced images are
    low-passed and kept in whole numbers, as SAM 2.1's processor does and RF-DETR's does not.
    """

    size: dict[str, int]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    scale: float
    smooth: bool

    @staticmethod
    def of(folder: ModelFolder, smooth: bool, square_px: int | None = None) -> Preparation:
        """As the model's folder says; square_px: the size of the image instead. Raises BackendError if it says nothing."""
        settings = folder.image_settings()
        size = _size(settings.get("size") if square_px is None else square_px)
        if size is None:
            raise BackendError(
                f"{folder.setting} {folder.path}: size {settings.get('size')} of images: want height and width"
            )
        normalised = settings.get("do_normalize", True)
        mean, deviation = (settings[key] for key in ("image_mean", "image_std")) if normalised else ((0.0,), (1.0,))
        scale = settings.get("rescale_factor", _BYTE) if settings.get("do_rescale", True) else 1.0
        return Preparation(size, tuple(mean), tuple(deviation), float(scale), smooth)

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
        """(h, w) that an image of that size is brought to."""
        if "height" in self.size:
            return self.size["height"], self.size["width"]
        short, long = min(height, width), max(height, width)
        edge = self.size["shortest_edge"]
        if "longest_edge" in self.size and round(long / short * edge) > self.size["longest_edge"]:
            edge = round(self.size["longest_edge"] * short / long)
        return (edge, int(edge * width / height)) if height <= width else (int(edge * height / width), edge)


def _size(size: Any) -> dict[str, int] | None:
    """Older files hold one number; None if neither the height nor an edge follows from it."""
    if isinstance(size, int):
        return {"height": size, "width": size}
    if not isinstance(size, dict) or not ("shortest_edge" in size or {"height", "width"} <= set(size)):
        return None
    return {key: int(value) for key, value in size.items() if value is not None}
