"""Exposure of each keyframe: gain and offset of its colours against the map's.

The map has one colour for a surface; a camera with automatic exposure shows it in many.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from echoseg_ros.mapping.stamp_interpolation import bracketing_rows

# Distance between the rows and columns of pixels that enter the fit, pixels. Six unknowns need no more.
STRIDE_PX = 4
# Alpha above which the map covers a pixel well enough for the fit.
COVERED_ALPHA = 0.9
# Strength of the prior towards gain 1 and offset 0, as the mean square of a colour (0..1) seen without change. It
# stabilises the fit to a view of one colour.
PRIOR_STRENGTH = 0.003
# Share of the pixels that the map must cover for a fit to be used.
MIN_COVERED_SHARE = 0.2
# Least and largest gain of automatic exposure.
GAIN_RANGE = (0.5, 2.0)


@dataclass(frozen=True)
class Exposure:
    """Exposure of an image: image = gain * colour + bias. gain, bias: [3], per channel."""

    gain: Tensor
    bias: Tensor

    def apply(self, colour: Tensor) -> Tensor:
        """The image colours [..., 3] of map colours [..., 3]."""
        return colour * self.gain + self.bias

    def undo(self, image: Tensor) -> Tensor:
        """The map colours [..., 3] of image colours [..., 3]."""
        return (image - self.bias) / self.gain

    @staticmethod
    def neutral(device: torch.device | str = "cpu") -> Exposure:
        """The exposure that changes no colour."""
        return Exposure(torch.ones(3, device=device), torch.zeros(3, device=device))


class Exposures:
    """The exposures of the keyframes, relative to the mean of all: the map has the mean's colours and cannot drift."""

    def __init__(self, device: torch.device | str) -> None:
        self._device = torch.device(device)
        self.clear()

    def clear(self) -> None:
        """Remove all keyframes."""
        self._stamps_ns: list[int] = []
        self._log_gains = torch.zeros(0, 3, device=self._device)
        self._biases = torch.zeros(0, 3, device=self._device)

    def __len__(self) -> int:
        return len(self._stamps_ns)

    def add(self, stamp_ns: int) -> None:
        """Add a keyframe; it starts with the exposure of the previous one."""
        for name in ("_log_gains", "_biases"):
            values = getattr(self, name)
            setattr(self, name, torch.cat([values, values[-1:] if len(values) else values.new_zeros(1, 3)]))
        self._stamps_ns.append(stamp_ns)

    def remove(self, row: int) -> None:
        """Remove the keyframe of this row."""
        del self._stamps_ns[row]
        self._log_gains, self._biases = (torch.cat([v[:row], v[row + 1 :]]) for v in (self._log_gains, self._biases))

    def of_keyframe(self, row: int) -> Exposure:
        """Exposure of the keyframe of this row."""
        return self._relative(self._log_gains[row], self._biases[row])

    def at_time(self, stamp_ns: int) -> Exposure:
        """Expected exposure of an image of this time, interpolated between the keyframes before and after it."""
        if not self._stamps_ns:
            return Exposure.neutral(self._device)
        low, high, share = bracketing_rows(self._stamps_ns, stamp_ns)
        gain, bias = (v[low].lerp(v[high], share) for v in (self._log_gains, self._biases))
        return self._relative(gain, bias)

    @torch.no_grad()
    def fit(self, row: int, rendered_rgb: Tensor, alpha: Tensor, image: Tensor) -> Exposure:
        """Fit and return the exposure of the keyframe of this row; it stays as it is where the map covers too little.

        rendered_rgb, image: [H, W, 3]; alpha: [H, W]. Does not wait for the device.
        """
        fitted, covered_share = fitted_exposure(rendered_rgb, alpha, image)
        enough = covered_share > MIN_COVERED_SHARE
        self._log_gains[row] = torch.where(enough, fitted.gain.log(), self._log_gains[row])
        self._biases[row] = torch.where(enough, fitted.bias, self._biases[row])
        return self.of_keyframe(row)

    def _relative(self, log_gain: Tensor, bias: Tensor) -> Exposure:
        return Exposure((log_gain - self._log_gains.mean(0)).exp(), bias - self._biases.mean(0))


@torch.no_grad()
def fitted_exposure(rendered_rgb: Tensor, alpha: Tensor, image: Tensor) -> tuple[Exposure, Tensor]:
    """(exposure of an image against the rendered map, share of the image that the map covers).

    rendered_rgb, image: [H, W, 3]; alpha: [H, W]. Per channel the least-squares gain and offset with a prior towards 1
    and 0 (ridge regression).
    """
    sampled = (slice(STRIDE_PX // 2, None, STRIDE_PX),) * 2
    covered = (alpha[sampled] > COVERED_ALPHA).to(rendered_rgb.dtype)[..., None]
    count = covered.sum().clamp(min=1)
    x, y = rendered_rgb[sampled], image[sampled]
    mean_x, mean_y = (((v * covered).sum((0, 1)) / count) for v in (x, y))
    mean_xx, mean_xy = (((v * x * covered).sum((0, 1)) / count) for v in (x, y))
    # Normal equations of mean((g x + b - y)^2) + PRIOR_STRENGTH ((g - 1)^2 + b^2).
    a, c = mean_xx + PRIOR_STRENGTH, 1 + PRIOR_STRENGTH
    determinant = a * c - mean_x * mean_x
    gain = (c * (mean_xy + PRIOR_STRENGTH) - mean_x * mean_y) / determinant
    bias = (a * mean_y - mean_x * (mean_xy + PRIOR_STRENGTH)) / determinant
    return Exposure(gain.clamp(*GAIN_RANGE), bias), covered.mean()
