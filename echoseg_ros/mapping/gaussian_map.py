"""The Gaussians of the map with the optimiser's state of each, kept aligned on insertion, splitting and removal."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from echoseg_ros.mapping.adam import BETA2, adam_step
from echoseg_ros.mapping.gaussians import Gaussians, concatenated
from echoseg_ros.mapping.rotations import rotation_matrices

# Contribution of a new Gaussian before a keyframe shows it again, pixels.
NEW_CONTRIBUTION_PX = 4.0
# Factor on an old contribution for each new keyframe that shows the Gaussian.
CONTRIBUTION_DECAY = 0.95
# Distance of the centre of each half of a split Gaussian from its parent's, in standard deviations of the parent.
SPLIT_OFFSET = 0.5
# Standard deviation of a half along the split axis, as a share of its parent's.
SPLIT_LENGTH = 0.7


class GaussianMap:
    """Parameters, Adam moments and ids of at most `max_gaussians` Gaussians; row i of every tensor is one Gaussian.

    Insertion appends rows, removal keeps their order. `uids`: [N] int64, strictly increasing over the rows and never
    reused, so that other code can realign its values per Gaussian. `contribution`: [N] largest sum of blending weights
    of a Gaussian in one of the recent keyframes, pixels.
    """

    def __init__(self, max_gaussians: int, device: torch.device | str = "cpu") -> None:
        self.max_gaussians = max_gaussians
        self.device = torch.device(device)
        self._next_uid = 0
        self.clear()

    def __len__(self) -> int:
        return len(self.gaussians)

    def clear(self) -> None:
        """Remove all Gaussians; the counter of uids continues."""
        self.gaussians = Gaussians.empty(self.device)
        self._first_moments = Gaussians.empty(self.device)
        self._second_moments = Gaussians.empty(self.device)
        self._update_counts = torch.zeros(0, device=self.device)
        self.contribution = torch.zeros(0, device=self.device)
        self.uids = torch.zeros(0, dtype=torch.int64, device=self.device)

    @property
    def update_counts(self) -> Tensor:  # [N] float32
        """Number of optimisation steps that moved each Gaussian."""
        return self._update_counts

    def insert(self, new: Gaussians) -> int:
        """Append the first `max_gaussians` rows of `new`; returns their number.

        Where the map would exceed `max_gaussians`, the old Gaussians with the lowest contribution are removed first.
        """
        new = new.map(lambda tensor: tensor[: self.max_gaussians].to(self.device).detach())
        self._make_room(len(new))
        self._append(new)
        return len(new)

    def split(self, rows: Tensor) -> None:
        """Split the Gaussians of rows [n] along their longest axis: one half stays in the row, one is appended."""
        rows = rows[: self.max_gaussians - len(self)]
        parents = self.gaussians.map(lambda tensor: tensor[rows])
        longest = parents.log_scales.argmax(dim=1, keepdim=True)
        axis = rotation_matrices(parents.quats_wxyz).gather(2, longest[:, None].expand(-1, 3, 1))[..., 0]
        offset = SPLIT_OFFSET * parents.log_scales.gather(1, longest).exp() * axis
        shorter = parents.log_scales.scatter_add(1, longest, torch.full_like(offset[:, :1], math.log(SPLIT_LENGTH)))
        self.gaussians.log_scales[rows] = shorter
        self.gaussians.means[rows] = parents.means - offset
        for moments in (self._first_moments, self._second_moments):
            for _, tensor in moments.items():
                tensor[rows] = 0
        self._update_counts[rows] = 0
        self._append(replace(parents, means=parents.means + offset, log_scales=shorter))

    def _append(self, new: Gaussians) -> None:
        self.gaussians = concatenated(self.gaussians, new)
        self._first_moments = concatenated(self._first_moments, new.map(torch.zeros_like))
        self._second_moments = concatenated(self._second_moments, new.map(torch.zeros_like))
        self._update_counts = torch.cat([self._update_counts, torch.zeros(len(new), device=self.device)])
        new_contribution = torch.full((len(new),), NEW_CONTRIBUTION_PX, device=self.device)
        self.contribution = torch.cat([self.contribution, new_contribution])
        uids = torch.arange(self._next_uid, self._next_uid + len(new), device=self.device)
        self.uids = torch.cat([self.uids, uids])
        self._next_uid += len(new)

    def _make_room(self, count: int) -> None:
        excess = len(self) + count - self.max_gaussians
        if excess > 0:
            order = torch.argsort(self.contribution, stable=True)
            kept = torch.ones(len(self), dtype=torch.bool, device=self.device)
            kept[order[:excess]] = False
            self.keep(kept)

    def update_contribution(self, weights_px: Tensor) -> None:
        """Update the contributions with a new keyframe; weights_px: [N] sum of each Gaussian's blending weights in it."""
        visible = weights_px > 0
        decayed = torch.maximum(weights_px, CONTRIBUTION_DECAY * self.contribution)
        self.contribution = torch.where(visible, decayed, self.contribution)

    @property
    def loss_sensitivity(self) -> Tensor:  # [N]
        """Root-mean-square gradient of the loss by the centre, times the largest standard deviation of the Gaussian."""
        correction = 1 - BETA2 ** self._update_counts.clamp(min=1)
        rms_gradient: Tensor = (self._second_moments.means / correction[:, None]).sqrt().norm(dim=1)
        return rms_gradient * self.gaussians.log_scales.amax(dim=1).exp()

    def keep(self, mask: Tensor) -> None:
        """Remove the rows where `mask` [N] bool is False."""
        rows = torch.nonzero(mask).squeeze(1)
        if len(rows) == len(self):
            return
        self.gaussians = self.gaussians.map(lambda tensor: tensor[rows])
        self._first_moments = self._first_moments.map(lambda tensor: tensor[rows])
        self._second_moments = self._second_moments.map(lambda tensor: tensor[rows])
        self._update_counts = self._update_counts[rows]
        self.contribution = self.contribution[rows]
        self.uids = self.uids[rows]

    def adam_step(self, gradients: Gaussians, learning_rates: dict[str, float | Tensor]) -> None:
        """Take one step of Adam on the Gaussians that have a gradient; the others stay.

        A Gaussian outside the view would otherwise drift on its old momentum. The bias correction uses each row's own
        update count. learning_rates: per field, a number or one per row [N].
        """
        adam_step(
            self.gaussians, self._first_moments, self._second_moments, self._update_counts, gradients, learning_rates
        )
