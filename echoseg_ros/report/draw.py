"""Drawing of masks and captions into camera images."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from echoseg_ros.types import RgbImage

# RGB colours that colour-blind people can tell apart: palette of Okabe and Ito without black.
PALETTE = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))


def colour(i: int) -> tuple[int, int, int]:
    """The i-th colour of the palette; after the last it starts again."""
    return PALETTE[i % len(PALETTE)]


def tint(rgb: RgbImage, mask: NDArray[np.bool_], rgb_colour: tuple[int, int, int]) -> RgbImage:
    """Copy of the image [H, W, 3] with the pixels of the mask [H, W] tinted and their outline drawn."""
    out: RgbImage = rgb.copy()
    out[mask] = (0.55 * rgb[mask] + 0.45 * np.array(rgb_colour)).astype(np.uint8)
    outline, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(out, outline, -1, (255, 255, 255), 3, cv2.LINE_AA)
    cv2.drawContours(out, outline, -1, rgb_colour, 2, cv2.LINE_AA)
    return out


def caption(rgb: RgbImage, text: str, corner: tuple[int, int], rgb_colour: tuple[int, int, int]) -> None:
    """Draw text into the image, in place, on a dark rectangle inside the image. corner: left and bottom in pixels."""
    scale = max(0.4, rgb.shape[1] / 1280)
    (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    x = int(np.clip(corner[0], 4, max(4, rgb.shape[1] - width - 8)))
    y = int(np.clip(corner[1], height + 6, rgb.shape[0] - base - 4))
    cv2.rectangle(rgb, (x - 4, y - height - 5), (x + width + 4, y + base + 2), (20, 20, 20), -1)
    cv2.putText(rgb, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, rgb_colour, 1, cv2.LINE_AA)


def object_overlay(rgb: RgbImage, mask: NDArray[np.bool_], text: str, i: int = 0) -> RgbImage:
    """Copy of the image with one object marked in the i-th colour and its name above it."""
    out = tint(rgb, mask, colour(i))
    rows, columns = np.nonzero(mask)
    if len(rows):
        caption(out, text, (int(columns.min()), int(rows.min()) - 8), colour(i))
    return out


def resized_mask(mask: NDArray[np.bool_], width: int, height: int) -> NDArray[np.bool_]:
    """The mask [H, W] at another size, by linear interpolation."""
    scaled = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(scaled >= 0.5)
