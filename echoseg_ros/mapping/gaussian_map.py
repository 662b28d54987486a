"""The map's parameters and what the optimiser remembers of them, kept in step when Gaussians come and go."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from echoseg_ros.mapping.rotations import rotation_matrices

# Adam as published (Kingma and Ba 2015); the small epsilon is 3DGS's, whose gradients are tiny.
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-15

# What a new Gaussian is taken to paint before it was seen again, and how fast old views stop counting.
NEW_PX, FADING = 4.0, 0.95
# Two halves of a Gaussian lie this many of its deviations to each side, and are this much shorter.
SPLIT_OFFSET, SPLIT_LENGTH = 0.5, 0.7

PARAMETERS = ("means", "quats_wxyz", "log_scales", "opacity_logits", "rgb")


@dataclass(frozen=True)
class Gaussians:
    """A plain container of parameters before activation; row i of every tensor is one Gaussian.

    means: [N, 3] map frame, metres; quats_wxyz: [N, 4], any length; log_scales: [N, 3] natural logarithm of metres;
    opacity_logits: [N]; rgb: [N, 3] colour, 1 = white (3DGS' f_dc is (rgb - 0.5) / 0.28209...).
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
        """Peak opacities."""
        return self.opacity_logits.sigmoid()

    @property
    def device(self) -> torch.device:
        """Where the parameters live."""
        return self.means.device

    def items(self) -> Iterator[tuple[str, Tensor]]:
        """(name, tensor) of every parameter, in the order of the fields."""
        for name in PARAMETERS:
            yield name, getattr(self, name)

    def map(self, function: Callable[[Tensor], Tensor]) -> Gaussians:
        """The same container with `function` applied to every tensor."""
        return Gaussians(*(function(tensor) for _, tensor in self.items()))

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Gaussians:
        """On another device or in another precision."""
        return self.map(lambda tensor: tensor.to(device=device, dtype=dtype or tensor.dtype))

    @staticmethod
    def empty(device: torch.device | str = "cpu") -> Gaussians:
        """No Gaussians at all."""
        return Gaussians(*(torch.zeros(shape, device=device) for shape in ((0, 3), (0, 4), (0, 3), (0,), (0, 3))))


@dataclass(frozen=True)
class MapGaussians(Gaussians):
    """Gaussians as they stand in a map, with their identities. uids: [N] int64, strictly increasing."""

    uids: Tensor


def concatenated(a: Gaussians, b: Gaussians) -> Gaussians:
    """Rows of a, then rows of b."""
    return Gaussians(*(torch.cat([x, y]) for (_, x), (_, y) in zip(a.items(), b.items(), strict=True)))


class GaussianMap:
    """Parameters, Adam's moments and identities; insertion appends, pruning keeps the order.

    `uids` [N] int64 is strictly increasing over the rows and never reused, so that others can realign what they keep
    per Gaussian. `contribution` [N] is the most that a Gaussian painted in a keyframe lately, in pixels. Never more than
    `max_gaussians` rows.
    """

    def __init__(self, max_gaussians: int, device: torch.device | str = "cpu") -> None:
        self.max_gaussians = max_gaussians
        self.device = torch.device(device)
        self.clear()

    def __len__(self) -> int:
        return len(self.gaussians)

    def clear(self) -> None:
        """Forget everything; uids go on counting where they were."""
        self.gaussians = Gaussians.empty(self.device)
        self._first = Gaussians.empty(self.device)
        self._second = Gaussians.empty(self.device)
        self._updates = torch.zeros(0, device=self.device)
        self.contribution = torch.zeros(0, device=self.device)
        self.uids = torch.zeros(0, dtype=torch.int64, device=self.device)
        self._next_uid = getattr(self, "_next_uid", 0)

    @property
    def updates(self) -> Tensor:  # [N] float32
        """How many optimisation steps touched each Gaussian."""
        return self._updates

    def insert(self, new: Gaussians) -> int:
        """Append Gaussians and return how many; at the cap the old ones that contribute least make room first.

        Of `new` only the first `max_gaussians` rows are taken.
        """
        new = new.map(lambda tensor: tensor[: self.max_gaussians].to(self.device).detach())
        self._make_room(len(new))
        self._append(new)
        return len(new)

    def split(self, rows: Tensor) -> None:
        """Each of these Gaussians [n] becomes two halves along its longest axis: one in its row, one appended."""
        rows = rows[: self.max_gaussians - len(self)]
        parents = self.gaussians.map(lambda tensor: tensor[rows])
        longest = parents.log_scales.argmax(dim=1, keepdim=True)
        axis = rotation_matrices(parents.quats_wxyz).gather(2, longest[:, None].expand(-1, 3, 1))[..., 0]
        offset = SPLIT_OFFSET * parents.log_scales.gather(1, longest).exp() * axis
        shorter = parents.log_scales.scatter_add(1, longest, torch.full_like(offset[:, :1], math.log(SPLIT_LENGTH)))
        self.gaussians.log_scales[rows] = shorter
        self.gaussians.means[rows] = parents.means - offset
        for moments in (self._first, self._second):
            for _, tensor in moments.items():
                tensor[rows] = 0
        self._updates[rows] = 0
        self._append(replace(parents, means=parents.means + offset, log_scales=shorter))

    def _append(self, new: Gaussians) -> None:
        self.gaussians = concatenated(self.gaussians, new)
        self._first = concatenated(self._first, new.map(torch.zeros_like))
        self._second = concatenated(self._second, new.map(torch.zeros_like))
        self._updates = torch.cat([self._updates, torch.zeros(len(new), device=self.device)])
        self.contribution = torch.cat([self.contribution, torch.full((len(new),), NEW_PX, device=self.device)])
        uids = torch.arange(self._next_uid, self._next_uid + len(new), device=self.device)
        self.uids = torch.cat([self.uids, uids])
        self._next_uid += len(new)

    def _make_room(self, wanted: int) -> None:
        excess = len(self) + wanted - self.max_gaussians
        if excess > 0:
            order = torch.argsort(self.contribution, stable=True)
            keep = torch.ones(len(self), dtype=torch.bool, device=self.device)
            keep[order[:excess]] = False
            self.keep(keep)

    def see(self, painted_px: Tensor) -> None:
        """Take note of what each Gaussian [N] paints in a new keyframe, the sum of its blending weights in pixels."""
        seen = painted_px > 0
        self.contribution = torch.where(seen, torch.maximum(painted_px, FADING * self.contribution), self.contribution)

    @property
    def pull(self) -> Tensor:  # [N]
        """How strongly the loss pulls at each Gaussian: the usual change of the loss for a move by its own size."""
        unbiased = (self._second.means / (1 - BETA2 ** self._updates.clamp(min=1))[:, None]).sqrt().norm(dim=1)
        return unbiased * self.gaussians.log_scales.amax(dim=1).exp()

    def keep(self, mask: Tensor) -> None:
        """Drop the rows where `mask` [N] bool is False."""
        rows = torch.nonzero(mask).squeeze(1)
        if len(rows) == len(self):
            return
        self.gaussians = self.gaussians.map(lambda tensor: tensor[rows])
        self._first = self._first.map(lambda tensor: tensor[rows])
        self._second = self._second.map(lambda tensor: tensor[rows])
        self._updates = self._updates[rows]
        self.contribution = self.contribution[rows]
        self.uids = self.uids[rows]

    def adam_step(self, gradients: Gaussians, learning_rates: dict[str, float | Tensor]) -> None:
        """One step of Adam on the Gaussians that have a gradient; the others stay where they are.

        A Gaussian outside the view would otherwise drift on old momentum. Bias is corrected by each row's own count.
        learning_rates: per field, a number or one per row [N].
        """
        if self.device.type == "cpu":
            from echoseg_ros.mapping.numba_adam import adam_step_cpu  # here, for it imports this module

            adam_step_cpu(self.gaussians, self._first, self._second, self._updates, gradients, learning_rates)
            return
        seen = gradients.opacity_logits != 0
        self._updates += seen
        count = self._updates.clamp(min=1)
        step = seen * (1 - BETA2**count).sqrt() / (1 - BETA1**count)
        decay_first, decay_second = torch.where(seen, BETA1, 1.0), torch.where(seen, BETA2, 1.0)
        for name, gradient in gradients.items():
            parameter, rate = getattr(self.gaussians, name), learning_rates[name]
            by_row = (slice(None),) + (None,) * (parameter.dim() - 1)
            first, second = getattr(self._first, name), getattr(self._second, name)
            first.mul_(decay_first[by_row]).add_(gradient, alpha=1 - BETA1)
            second.mul_(decay_second[by_row]).addcmul_(gradient, gradient, value=1 - BETA2)
            direction = second.sqrt().add_(EPSILON).reciprocal_().mul_(first)
            parameter.addcmul_(direction, (step * rate)[by_row], value=-1)
