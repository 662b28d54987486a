"""Optimisation of the map against its keyframes: gradient steps, pruning and splitting of Gaussians.

Photometric optimisation of 3D Gaussians (Kerbl et al. 2023, 3DGS), one keyframe a step.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from echoseg_ros.config import MapConfig
from echoseg_ros.mapping import insertion
from echoseg_ros.mapping.exposure import Exposures
from echoseg_ros.mapping.gaussian_map import GaussianMap
from echoseg_ros.mapping.keyframe_tensors import KeyframeTensors
from echoseg_ros.mapping.keyframes import Keyframe, KeyframeStore
from echoseg_ros.mapping.pose_corrections import PoseCorrections
from echoseg_ros.mapping.rasterizers.conventions import Rasterizer, Rendered
from echoseg_ros.mapping.sharpness import SharpnessWeights

# Adam's learning rate of centres, in units of the Gaussian's own size: independent of the map's unit.
MEAN_RATE = 0.25
# Adam's learning rates of the other parameters, in the units of the parameter.
RATES = {"quats_wxyz": 0.01, "log_scales": 0.02, "opacity_logits": 0.05, "rgb": 0.005}
# Updates after which the learning rate of a centre has halved. A centre that stays fast thickens its surface.
SETTLING_UPDATES = 15.0
# Lowest learning rate of a centre, as a share of MEAN_RATE.
SETTLED_SHARE = 0.1
# Weight of the relative depth error in the loss; the colour's L1 error has weight 1.
DEPTH_WEIGHT = 0.2
# Weight of missing coverage (1 - alpha) in the loss.
COVERAGE_WEIGHT = 0.05
# Largest relative depth error that enters the loss; a larger one comes from an edge or a reflection.
MAX_DEPTH_ERROR = 0.1
# Alpha from which the map covers a pixel.
COVERED_ALPHA = 0.5
# Probability that a step takes the newest keyframe.
NEWEST_SHARE = 0.15
# Probability that a step takes a keyframe of the window of newest ones. The other steps take any keyframe.
WINDOW_SHARE = 0.25
# Colour error (0..1) assumed of a keyframe before its first step.
UNKNOWN_ERROR = 0.2
# Opacity below which a Gaussian is pruned.
MIN_OPACITY = 0.1
# Loss of a Gaussian's opacity logit for each keyframe that looks through it. Colour can win the opacity back where the
# depth sensor is wrong (glass, shiny surfaces).
FREE_SPACE_LOGIT = 1.5
# Longest axis of a Gaussian over its middle one.
MAX_ELONGATION = 4.0
# Steps between two rounds of pruning.
PRUNE_EVERY_STEPS = 10
# Steps between two rounds of splitting.
SPLIT_EVERY_STEPS = 100
# Updates that a Gaussian must have before it is split.
SPLIT_MIN_UPDATES = 30
# Loss sensitivity from which a Gaussian is split: summed colour error, pixels of full contrast.
SPLIT_SENSITIVITY_PX = 0.5
# Contribution above which a Gaussian may be split, pixels.
SPLIT_MIN_CONTRIBUTION_PX = 4.0


class MapOptimizer:
    """Inserts Gaussians from keyframes and optimises them. Deterministic for a seed."""

    def __init__(self, gaussian_map: GaussianMap, rasterizer: Rasterizer, config: MapConfig) -> None:
        self._map = gaussian_map
        self._refine_poses = config.refine_poses
        self.corrections = PoseCorrections()
        self._rasterizer = rasterizer
        self._random = np.random.default_rng(config.seed)
        self.exposures = Exposures(gaussian_map.device)
        self.clear()

    def clear(self) -> None:
        """Remove all keyframes."""
        self.exposures.clear()
        self.corrections.clear()
        self._keyframe_tensors: list[KeyframeTensors] = []
        self._errors: list[float] = []
        self._new_errors: dict[int, Tensor] = {}
        self._sharpness = SharpnessWeights()
        self._steps = 0

    def remove_keyframe(self, row: int) -> None:
        """Remove the keyframe at this position in the order of insertion."""
        self._read_errors()
        del self._keyframe_tensors[row]
        del self._errors[row]
        self.exposures.remove(row)
        self.corrections.remove(row)

    def add_keyframe(self, keyframe: Keyframe) -> None:
        """Add a keyframe newer than all others; insert Gaussians where the map does not explain its depth."""
        self._errors.append(UNKNOWN_ERROR)
        self._keyframe_tensors.append(KeyframeTensors.of(keyframe, self._map.device, self._sharpness.add(keyframe.rgb)))
        self.exposures.add(keyframe.stamp_ns)
        self.corrections.add(keyframe.stamp_ns)
        view, row = self._keyframe_tensors[-1], len(self._keyframe_tensors) - 1
        view.T_map_camera = self.corrections.corrected(row, keyframe.T_map_camera)
        self._fade_floating_gaussians(view)
        with torch.no_grad():
            rendered = self._rasterizer.render(self._map.gaussians, keyframe.camera, view.T_map_camera)
        needed = insertion.unexplained(view.depth, rendered.depth, rendered.alpha)
        exposure = self.exposures.fit(row, rendered.rgb, rendered.alpha, view.image)
        new = insertion.new_gaussians(view, needed)
        self._map.insert(insertion.recoloured(new, exposure.undo))
        one_label = np.zeros((keyframe.camera.height, keyframe.camera.width), np.int32)
        weights_px = self._rasterizer.lift(self._map.gaussians, keyframe.camera, view.T_map_camera, one_label, 1)
        self._map.update_contribution(weights_px[:, 0])

    @torch.no_grad()
    def _fade_floating_gaussians(self, view: KeyframeTensors) -> None:
        """Lower the opacity of Gaussians in front of every depth measured around their pixel."""
        gaussians = self._map.gaussians
        floating = insertion.in_free_space(view, gaussians.means)
        gaussians.opacity_logits.sub_(floating * FREE_SPACE_LOGIT)

    def run_steps(self, count: int) -> None:
        """Run this many optimisation steps, each on one keyframe; none while the map is empty."""
        if not self._keyframe_tensors or len(self._map) == 0:
            return
        for _ in range(count):
            self._step(self._draw_row())
            self._steps += 1
            if self._steps % PRUNE_EVERY_STEPS == 0:
                self._prune()
            if self._steps % SPLIT_EVERY_STEPS == 0:
                self._split()

    @property
    def keyframes(self) -> list[Keyframe]:
        """The keyframes in the order of insertion, with their current poses."""
        return [replace(view.keyframe, T_map_camera=view.T_map_camera) for view in self._keyframe_tensors]

    @property
    def steps_done(self) -> int:
        """Optimisation steps since the start, or since the last `clear`."""
        return self._steps

    def _draw_row(self) -> int:
        """Draw the keyframe of the next step: the newest, one of the window, or any with probability ~ its error."""
        count, draw = len(self._keyframe_tensors), self._random.random()
        if draw < NEWEST_SHARE:
            return count - 1
        if draw < NEWEST_SHARE + WINDOW_SHARE:
            return int(self._random.integers(max(count - KeyframeStore.WINDOW, 0), count))
        errors = np.cumsum(self._errors)
        return min(int(np.searchsorted(errors, self._random.random() * errors[-1])), count - 1)

    def _step(self, row: int) -> None:
        view = self._keyframe_tensors[row]
        leaves = self._map.gaussians.map(lambda tensor: tensor.detach().requires_grad_())
        rendered = self._rasterizer.render(leaves, view.keyframe.camera, view.T_map_camera)
        torch.autograd.backward(self._loss(rendered, row))
        gradients = leaves.gradients()
        if self._refine_poses:
            depth = float(view.depth[view.depth > 0].median()) if view.depth.any() else 1.0
            self.corrections.step(row, view.T_map_camera, self._map.gaussians, gradients, depth)
            view.T_map_camera = self.corrections.corrected(row, view.keyframe.T_map_camera)
        with torch.no_grad():
            self._map.adam_step(gradients, {**RATES, "means": self._mean_rates()})

    def _mean_rates(self) -> Tensor:  # [N]
        settled = (1 + self._map.update_counts / SETTLING_UPDATES).reciprocal().clamp(min=SETTLED_SHARE)
        return MEAN_RATE * settled * self._map.gaussians.log_scales.amax(dim=1).exp()

    def _loss(self, rendered: Rendered, row: int) -> Tensor:
        view = self._keyframe_tensors[row]
        exposure = self.exposures.fit(row, rendered.rgb.detach(), rendered.alpha.detach(), view.image)
        # Unmapped pixels do not count: Gaussians next to them would grow to fill them.
        mapped = (view.known | (rendered.alpha.detach() > COVERED_ALPHA)).to(rendered.alpha.dtype)
        colour = ((exposure.apply(rendered.rgb) - view.image).abs().mean(-1) * mapped).mean()
        self._new_errors[row] = colour.detach()
        loss = view.weight * colour + COVERAGE_WEIGHT * ((1 - rendered.alpha) * mapped).mean()
        error = (rendered.depth - view.depth).abs() / view.depth.clamp(min=1e-6)
        counts = (view.depth > 0) & (error < MAX_DEPTH_ERROR)
        return loss + DEPTH_WEIGHT * torch.where(counts, error, torch.zeros_like(error)).mean()

    def _read_errors(self) -> None:
        """Copy the colour errors of the last steps from the device, all at once: each copy waits for the device."""
        if self._new_errors:
            values = torch.stack(list(self._new_errors.values())).cpu().tolist()
            for row, value in zip(self._new_errors, values, strict=True):
                self._errors[row] = value
            self._new_errors.clear()

    @torch.no_grad()
    def _prune(self) -> None:
        """Remove faint Gaussians and shorten long ones; Gaussians of a loaded file without updates stay as they are."""
        self._read_errors()
        log_scales, updated = self._map.gaussians.log_scales, self._map.update_counts > 0
        limit = log_scales.median(dim=1, keepdim=True).values + float(np.log(MAX_ELONGATION))
        torch.where(updated[:, None], torch.minimum(log_scales, limit), log_scales, out=log_scales)
        self._map.keep((self._map.gaussians.opacities > MIN_OPACITY) | ~updated)

    @torch.no_grad()
    def _split(self) -> None:
        """Split Gaussians whose loss sensitivity stays high after many updates, highest first."""
        pixels = self._keyframe_tensors[-1].image[..., 0].numel()
        sensitivity = self._map.loss_sensitivity * pixels
        updated = self._map.update_counts > SPLIT_MIN_UPDATES
        candidates = updated & (self._map.contribution > SPLIT_MIN_CONTRIBUTION_PX)
        sensitivity = torch.where(candidates, sensitivity, torch.zeros_like(sensitivity))
        rows = torch.nonzero(sensitivity > SPLIT_SENSITIVITY_PX).squeeze(1)
        self._map.split(rows[sensitivity[rows].argsort(descending=True, stable=True)])
