"""Parameters of 3D Gaussians as a container of tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

# Names of the fields, in order.
PARAMETERS = ("means", "quats_wxyz", "log_scales", "opacity_logits", "rgb")


@dataclass(frozen=True)
class Gaussians:
    """Parameters of Gaussians before activation; row i of every tensor is one Gaussian.

    means: [N, 3] map frame, metres; quats_wxyz: [N, 4], any length; log_scales: [N, 3] natural logarithm of metres;
    opacity_logits: [N]; rgb: [N, 3] colour, 1 = white (f_dc of a 3DGS file is (rgb - 0.5) / 0.28209...).
    """

    means: Tensor
    quats_wxyz: Tensor
    log_scales: Tensor
    opacity_logits: Tensor
    rgb: Tensor

    def __len__(self) -> int:
        return len(self.means)

    @property
    def scales(self) -> Tensor:  # [N, 3] metres
        """Standard deviations along the Gaussian's own axes."""
        return self.log_scales.exp()

    @property
    def opacities(self) -> Tensor:  # [N] in (0, 1)
        """Opacities at the centre."""
        return self.opacity_logits.sigmoid()

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self.means.device

    def items(self) -> Iterator[tuple[str, Tensor]]:
        """(name, tensor) of every parameter, in the order of the fields."""
        for name in PARAMETERS:
            yield name, getattr(self, name)

    def map(self, function: Callable[[Tensor], Tensor]) -> Gaussians:
        """The Gaussians with `function` applied to every tensor."""
        return Gaussians(*(function(tensor) for _, tensor in self.items()))

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Gaussians:
        """The Gaussians on another device or in another precision."""
        return self.map(lambda tensor: tensor.to(device=device, dtype=dtype or tensor.dtype))

    def gradients(self) -> Gaussians:
        """Gradients of the parameters, which must be leaves that a backward pass has reached."""

        def gradient(tensor: Tensor) -> Tensor:
            assert tensor.grad is not None
            return tensor.grad

        return self.map(gradient)

    @staticmethod
    def empty(device: torch.device | str = "cpu") -> Gaussians:
        """A container of no Gaussians."""
        return Gaussians(*(torch.zeros(shape, device=device) for shape in ((0, 3), (0, 4), (0, 3), (0,), (0, 3))))


@dataclass(frozen=True)
class MapGaussians(Gaussians):
    """The Gaussians of a map with their ids. uids: [N] int64, strictly increasing."""

    uids: Tensor


def concatenated(a: Gaussians, b: Gaussians) -> Gaussians:
    """Rows of a, then rows of b."""
    return Gaussians(*(torch.cat([x, y]) for (_, x), (_, y) in zip(a.items(), b.items(), strict=True)))
