"""Every keyframe's own exposure: the map has one colour for a surface, a camera on automatic does not."""

from __future__ import annotations

import bisect
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


class Exposures:
    """One exposure for each keyframe, relative to the mean of all: the map has the mean's colours and cannot drift."""

    def __init__(self, device: torch.device | str) -> None:
        self._device = torch.device(device)
        self.clear()

    def clear(self) -> None:
        """Forget all keyframes."""
        self._stamps_ns: list[int] = []
        self._log_gains = torch.zeros(0, 3, device=self._device)
        self._biases = torch.zeros(0, 3, device=self._device)

    def __len__(self) -> int:
        return len(self._stamps_ns)

    def add(self, stamp_ns: int) -> None:
        """A new keyframe starts with the exposure of the one that came before it."""
        for name in ("_log_gains", "_biases"):
            values = getattr(self, name)
            setattr(self, name, torch.cat([values, values[-1:] if len(values) else values.new_zeros(1, 3)]))
        self._stamps_ns.append(stamp_ns)

    def forget(self, row: int) -> None:
        """The keyframe of that row is no longer kept."""
        del self._stamps_ns[row]
        self._log_gains, self._biases = (torch.cat([v[:row], v[row + 1 :]]) for v in (self._log_gains, self._biases))

    def of(self, row: int) -> Exposure:
        """Exposure of the keyframe of that row."""
        return self._relative(self._log_gains[row], self._biases[row])

    def at(self, stamp_ns: int) -> Exposure:
        """What to expect of an image taken then: between the keyframes before and after it."""
        if not self._stamps_ns:
            return Exposure.neutral(self._device)
        # A recording that starts again brings keyframes with stamps of before.
        order = sorted(range(len(self)), key=self._stamps_ns.__getitem__)
        after = bisect.bisect_left(order, stamp_ns, key=self._stamps_ns.__getitem__)
        low, high = order[max(after - 1, 0)], order[min(after, len(self) - 1)]
        span = self._stamps_ns[high] - self._stamps_ns[low]
        share = (stamp_ns - self._stamps_ns[low]) / span if span else 0.0
        gain, bias = (v[low].lerp(v[high], min(max(share, 0.0), 1.0)) for v in (self._log_gains, self._biases))
        return self._relative(gain, bias)

    @torch.no_grad()
    def fit(self, row: int, drawn: Tensor, alpha: Tensor, image: Tensor) -> Exposure:
        """Fit the keyframe of that row to what the map draws of it; a view of unknown places keeps what it had.

        drawn, image: [H, W, 3]; alpha: [H, W]. Without waiting for the device.
        """
        fitted, covered = fitted_exposure(drawn, alpha, image)
        enough = covered > MIN_COVERED
        self._log_gains[row] = torch.where(enough, fitted.gain.log(), self._log_gains[row])
        self._biases[row] = torch.where(enough, fitted.bias, self._biases[row])
        return self.of(row)

    def _relative(self, log_gain: Tensor, bias: Tensor) -> Exposure:
        return Exposure((log_gain - self._log_gains.mean(0)).exp(), bias - self._biases.mean(0))


@torch.no_grad()
def fitted_exposure(drawn: Tensor, alpha: Tensor, image: Tensor) -> tuple[Exposure, Tensor]:
    """(exposure of an image of what the map draws, share of the image that the map covers).

    drawn, image: [H, W, 3]; alpha: [H, W]. Per channel the least-squares gain and bias, with a prior towards 1 and 0
    (ridge regression).
    """
    every = (slice(STRIDE_PX // 2, None, STRIDE_PX),) * 2
    covered = (alpha[every] > 0.9).to(drawn.dtype)[..., None]
    count = covered.sum().clamp(min=1)
    x, y = drawn[every], image[every]
    mean_x, mean_y = (((v * covered).sum((0, 1)) / count) for v in (x, y))
    mean_xx, mean_xy = (((v * x * covered).sum((0, 1)) / count) for v in (x, y))
    # Normal equations of mean((g x + b - y)^2) + PRIOR ((g - 1)^2 + b^2).
    a, c = mean_xx + PRIOR, 1 + PRIOR
    determinant = a * c - mean_x * mean_x
    gain = (c * (mean_xy + PRIOR) - mean_x * mean_y) / determinant
    bias = (a * mean_y - mean_x * (mean_xy + PRIOR)) / determinant
    return Exposure(gain.clamp(*GAIN_RANGE), bias), covered.mean()
