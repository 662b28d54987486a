"""The grouping network: a small U-Net that predicts for each pixel whether it shows an object, and the object's centre."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from echoseg_ros.masks.network.network_input import CHANNELS

# The sides of the input are multiples of this, pixels.
MULTIPLE_PX = 16
# Unit of the offsets and sizes that the network predicts, pixels.
OFFSET_UNIT_PX = 32.0
# Channels at the five scales, finest first.
_WIDTHS = (12, 28, 48, 88, 144)


def _convolution(inputs: int, outputs: int, stride: int = 1, size: int = 3) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class _Residual(nn.Module):
    """Residual block of two convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_convolution(width, width), nn.Conv2d(width, width, 3, 1, 1, bias=False))
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.norm(self.body(x)))


class _Context(nn.Module):
    """Adds features of the whole image to every pixel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(inplace=True), nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1)
        context: Tensor = self.mix(pooled)[:, :, None, None]
        return x + context


class GroupingNetwork(nn.Module):
    """U-Net with five scales; the coarsest includes context of the whole image."""

    def __init__(self) -> None:
        super().__init__()
        w0, w1, w2, w3, w4 = _WIDTHS
        self.stem = _convolution(CHANNELS, w0)
        self.down1 = nn.Sequential(_convolution(w0, w1, 2), _convolution(w1, w1))
        self.down2 = nn.Sequential(_convolution(w1, w2, 2), _Residual(w2))
        self.down3 = nn.Sequential(_convolution(w2, w3, 2), _Residual(w3))
        self.down4 = nn.Sequential(_convolution(w3, w4, 2), _Residual(w4), _Context(w4), _Residual(w4))
        self.side3, self.side2 = _convolution(w4, w3, size=1), _convolution(w3, w2, size=1)
        self.side1, self.side0 = _convolution(w2, w1, size=1), _convolution(w1, w0, size=1)
        self.up3, self.up2 = _Residual(w3), _Residual(w2)
        self.up1 = nn.Sequential(_convolution(w1, w1), _convolution(w1, w1))
        self.vote = nn.Conv2d(w1, 3, 1)
        self.up0 = _convolution(w0, 12)
        self.object = nn.Conv2d(12, 1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(logits of "an object" [B, 1, H, W], votes [B, 3, H / 2, W / 2]) for inputs [B, CHANNELS, H, W].

        Votes: offset x and y to the centre of the object's visible part in OFFSET_UNIT_PX, and the log of its side (the
        square root of its area) in OFFSET_UNIT_PX, both at full size.
        """
        x0 = self.stem(x)
        x1 = self.down1(x0)
        x2 = self.down2(x1)
        x3 = self.down3(x2)
        x4 = self.down4(x3)
        y3 = self.up3(x3 + _upsampled(self.side3(x4)))
        y2 = self.up2(x2 + _upsampled(self.side2(y3)))
        y1 = self.up1(x1 + _upsampled(self.side1(y2)))
        y0 = self.up0(x0 + _upsampled(self.side0(y1)))
        return self.object(y0), self.vote(y1)


def _upsampled(x: Tensor) -> Tensor:
    return nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
