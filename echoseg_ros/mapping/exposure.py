"""Every keyframe's own exposure: the map has one colour for a surface, a camera on automatic does not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

# Only every so many pixels are fitted: two numbers a channel need no more.
STRIDE_PX = 4
# Pull towards gain 1 and bias 0, as if this mean square of colour had been seen without change: it keeps a fit to a
# view of one colour sane.
PRIOR = 0.003
# The fit needs this share of the picture drawn by the map.
MIN_COVERED = 0.2
# Automatic exposure stays within these; a fit outside them met something else.
GAIN_RANGE = (0.5, 2.0)


@dataclass(frozen=True)
class Exposure:
    """image = gain * colour + bias, [3] each."""

    gain: Tensor
    bias: Tensor

    def apply(self, colour: Tensor) -> Tensor:
        """What the camera makes of colours [..., 3]."""
        return colour * self.gain + self.bias

    def undo(self, image: Tensor) -> Tensor:
        """The colours [..., 3] that gave this image."""
        return (image - self.bias) / self.gain

    @staticmethod
    def neutral(device: torch.device | str = "cpu") -> Exposure:
        """The camera shows colours as they are."""
        return Exposure(torch.ones(3, device=device), torch.zeros(3, device=device))


def relative_exposure(exposure: Exposure, everyone: Iterable[Exposure]) -> Exposure:
    """An exposure relative to the mean of all: the map then has the colours of the mean exposure and cannot drift."""
    gains, biases = zip(*((other.gain, other.bias) for other in everyone), strict=True)
    gain, bias = torch.stack(gains).log().mean(0).exp(), torch.stack(biases).mean(0)
    return Exposure(exposure.gain / gain, exposure.bias - bias)


@torch.no_grad()
def fitted_exposure(drawn: Tensor, alpha: Tensor, image: Tensor) -> Exposure | None:
    """Exposure of an image of what the map draws; None where the map covers too little of it.

    drawn, image: [H, W, 3]; alpha: [H, W]. Per channel the least-squares gain and bias, with a prior towards 1 and 0
    (ridge regression).
    """
    every = (slice(STRIDE_PX // 2, None, STRIDE_PX),) * 2
    covered = (alpha[every] > 0.9).to(drawn.dtype)[..., None]
    count = covered.sum()
    if count < MIN_COVERED * covered.numel():
        return None
    x, y = drawn[every], image[every]
    mean_x, mean_y = (((v * covered).sum((0, 1)) / count) for v in (x, y))
    mean_xx, mean_xy = (((v * x * covered).sum((0, 1)) / count) for v in (x, y))
    # Normal equations of mean((g x + b - y)^2) + PRIOR ((g - 1)^2 + b^2).
    a, c = mean_xx + PRIOR, 1 + PRIOR
    determinant = a * c - mean_x * mean_x
    gain = (c * (mean_xy + PRIOR) - mean_x * mean_y) / determinant
    bias = (a * mean_y - mean_x * (mean_xy + PRIOR)) / determinant
    return Exposure(gain.clamp(*GAIN_RANGE), bias)
