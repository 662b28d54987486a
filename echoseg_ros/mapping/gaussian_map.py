"""The map's parameters and what the optimiser remembers of them, kept in step when Gaussians come and go."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from echoseg_ros.mapping.adam import BETA2, adam_step
from echoseg_ros.mapping.gaussians import Gaussians, concatenated
from echoseg_ros.mapping.rotations import rotation_matrices

# What a new Gaussian is taken to paint before it was seen again, and how fast old views stop counting.
NEW_PX, FADING = 4.0, 0.95
# Two halves of a Gaussian lie this many of its deviations to each side, and are this much shorter.
SPLIT_OFFSET, SPLIT_LENGTH = 0.5, 0.7


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
        adam_step(self.gaussians, self._first, self._second, self._updates, gradients, learning_rates)
