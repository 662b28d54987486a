"""Makes the map look like its keyframes: optimisation in plain torch, spent where the error is, and pruning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from echoseg_ros.config import MapConfig
from echoseg_ros.mapping import insertion
from echoseg_ros.mapping.exposure import Exposures
from echoseg_ros.mapping.gaussian_map import GaussianMap
from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.mapping.keyframes import Keyframe, KeyframeStore
from echoseg_ros.mapping.optimizer_views import Sharpness, View
from echoseg_ros.mapping.pose_corrections import PoseCorrections
from echoseg_ros.mapping.rasterizers.conventions import Rasterizer, Rendered

# Adam's step sizes. Centres move in units of the Gaussian's own size, so nothing here is in metres.
MEAN_RATE = 0.25
# A centre finds its place in its first steps and then only follows slowly, so that surfaces stay thin.
SETTLING_UPDATES, SETTLED_SHARE = 15.0, 0.1
RATES = {"quats_wxyz": 0.01, "log_scales": 0.02, "opacity_logits": 0.05, "rgb": 0.005}
# Weights of the terms next to the colour's L1: relative depth error, and missing coverage.
DEPTH_WEIGHT, COVERAGE_WEIGHT = 0.2, 0.05
# A depth farther off than this share is an edge or a reflection: it does not pull.
MAX_DEPTH_ERROR = 0.1
# How often a step takes the newest keyframe, one of the window, or any past one (by its error: no place is forgotten).
NEWEST_SHARE, WINDOW_SHARE = 0.15, 0.25
# Mean colour error of a view that was not drawn yet.
UNKNOWN_ERROR = 0.2
# A Gaussian fainter than this no longer matters.
MIN_OPACITY = 0.1
# A keyframe that looks through a Gaussian takes this from its opacity's logit: two or three such views remove it, while
# colour can win it back where the sensor is wrong (glass, shiny lids).
FREE_SPACE_LOGIT = 1.5
# The longest axis at most this many times the middle one: no needles.
MAX_ELONGATION = 4.0
# Steps between two rounds of pruning.
TIDY_EVERY = 10
# Gaussians that paint at least this many pixels are split when, after so many updates, a move by their own size would
# still change the summed colour error by this many pixels of full contrast.
SPLIT_EVERY, SPLIT_AFTER = 100, 30
SPLIT_PULL, SPLIT_MIN_PX = 0.5, 4.0


class MapOptimizer:
    """Owns the way from keyframes to Gaussians. Deterministic for a seed."""

    def __init__(self, gaussian_map: GaussianMap, rasterizer: Rasterizer, config: MapConfig) -> None:
        self._map = gaussian_map
        self._refine_poses = config.refine_poses
        self.corrections = PoseCorrections()
        self._rasterizer = rasterizer
        self._random = np.random.default_rng(config.seed)
        self.exposures = Exposures(gaussian_map.device)
        self.clear()

    def clear(self) -> None:
        """Forget all keyframes."""
        self.exposures.clear()
        self.corrections.clear()
        self._views: list[View] = []
        self._errors: list[float] = []
        self._new_errors: dict[int, Tensor] = {}
        self._sharpness = Sharpness()
        self._steps = 0

    def forget(self, position: int) -> None:
        """The keyframe at that position, in order of time, is no longer kept."""
        self._read_errors()
        del self._views[position]
        del self._errors[position]
        self.exposures.forget(position)
        self.corrections.forget(position)

    def add(self, keyframe: Keyframe) -> None:
        """Take a keyframe newer than all others: Gaussians where the map does not explain its depth."""
        self._errors.append(UNKNOWN_ERROR)
        self._views.append(View.of(keyframe, self._map.device, self._sharpness.weight(keyframe.rgb)))
        self.exposures.add(keyframe.stamp_ns)
        self.corrections.add(keyframe.stamp_ns)
        view, row = self._views[-1], len(self._views) - 1
        view.T_map_camera = self.corrections.corrected(row, keyframe.T_map_camera)
        self._carve(view)
        with torch.no_grad():
            drawn = self._rasterizer.render(self._map.gaussians, keyframe.camera, view.T_map_camera)
        needed = insertion.unexplained(view.depth, drawn.depth, drawn.alpha)
        exposure = self.exposures.fit(row, drawn.rgb, drawn.alpha, view.image)
        new = insertion.new_gaussians(view, needed)
        self._map.insert(insertion.recoloured(new, exposure.undo))
        everywhere = np.zeros((keyframe.camera.height, keyframe.camera.width), np.int32)
        painted = self._rasterizer.lift(self._map.gaussians, keyframe.camera, view.T_map_camera, everywhere, 1)
        self._map.see(painted[:, 0])

    @torch.no_grad()
    def _carve(self, view: View) -> None:
        """Make Gaussians fainter that float in front of every depth measured around their pixel."""
        gaussians = self._map.gaussians
        ahead = insertion.in_free_space(view, gaussians.means)
        gaussians.opacity_logits.sub_(ahead * FREE_SPACE_LOGIT)

    def steps(self, count: int) -> None:
        """That many optimisation steps, each on one keyframe."""
        if not self._views or len(self._map) == 0:
            return
        for _ in range(count):
            self._step(self._choose())
            self._steps += 1
            if self._steps % TIDY_EVERY == 0:
                self._tidy()
            if self._steps % SPLIT_EVERY == 0:
                self._split()

    @property
    def keyframes(self) -> list[Keyframe]:
        """In order of time, with the poses that they have now."""
        return [replace(view.keyframe, T_map_camera=view.T_map_camera) for view in self._views]

    @property
    def steps_done(self) -> int:
        """Optimisation steps since the start, or since the last `clear`."""
        return self._steps

    def _choose(self) -> int:
        count, draw = len(self._views), self._random.random()
        if draw < NEWEST_SHARE:
            return count - 1
        if draw < NEWEST_SHARE + WINDOW_SHARE:
            return int(self._random.integers(max(count - KeyframeStore.WINDOW, 0), count))
        errors = np.cumsum(self._errors)
        return min(int(np.searchsorted(errors, self._random.random() * errors[-1])), count - 1)

    def _step(self, row: int) -> None:
        view = self._views[row]
        leaves = self._map.gaussians.map(lambda tensor: tensor.detach().requires_grad_())
        rendered = self._rasterizer.render(leaves, view.keyframe.camera, view.T_map_camera)
        self._loss(rendered, row).backward()
        gradients = Gaussians(*(tensor.grad for _, tensor in leaves.items()))  # type: ignore[arg-type]
        if self._refine_poses:
            depth = float(view.depth[view.depth > 0].median()) if view.depth.any() else 1.0
            self.corrections.step(row, view.T_map_camera, self._map.gaussians, gradients, depth)
            view.T_map_camera = self.corrections.corrected(row, view.keyframe.T_map_camera)
        with torch.no_grad():
            self._map.adam_step(gradients, {**RATES, "means": self._mean_rates()})

    def _mean_rates(self) -> Tensor:  # [N]
        settled = (1 + self._map.updates / SETTLING_UPDATES).reciprocal().clamp(min=SETTLED_SHARE)
        return MEAN_RATE * settled * self._map.gaussians.log_scales.amax(dim=1).exp()

    def _loss(self, rendered: Rendered, row: int) -> Tensor:
        view = self._views[row]
        exposure = self.exposures.fit(row, rendered.rgb.detach(), rendered.alpha.detach(), view.image)
        # Places that nothing is known of yet say nothing: what lies near them would be blown up to fill them.
        mapped = (view.known | (rendered.alpha.detach() > 0.5)).to(rendered.alpha.dtype)
        colour = ((exposure.apply(rendered.rgb) - view.image).abs().mean(-1) * mapped).mean()
        self._new_errors[row] = colour.detach()
        loss = view.weight * colour + COVERAGE_WEIGHT * ((1 - rendered.alpha) * mapped).mean()
        error = (rendered.depth - view.depth).abs() / view.depth.clamp(min=1e-6)
        counts = (view.depth > 0) & (error < MAX_DEPTH_ERROR)
        return loss + DEPTH_WEIGHT * torch.where(counts, error, torch.zeros_like(error)).mean()

    def _read_errors(self) -> None:
        """Take the errors of the last steps from the device: at once, for each reading waits for it."""
        if self._new_errors:
            values = torch.stack(list(self._new_errors.values())).cpu().tolist()
            for row, value in zip(self._new_errors, values, strict=True):
                self._errors[row] = value
            self._new_errors.clear()

    @torch.no_grad()
    def _tidy(self) -> None:
        """Prune what became faint and shorten what became a needle; what came from a file and was not seen yet stays."""
        self._read_errors()
        log_scales, touched = self._map.gaussians.log_scales, self._map.updates > 0
        limit = log_scales.median(dim=1, keepdim=True).values + float(np.log(MAX_ELONGATION))
        torch.where(touched[:, None], torch.minimum(log_scales, limit), log_scales, out=log_scales)
        self._map.keep((self._map.gaussians.opacities > MIN_OPACITY) | ~touched)

    @torch.no_grad()
    def _split(self) -> None:
        """Split Gaussians that were optimised for a while and that the loss still pulls at, the strongest first."""
        pixels = self._views[-1].image[..., 0].numel()
        pull = self._map.pull * pixels
        tried = self._map.updates > SPLIT_AFTER
        pull = torch.where(tried & (self._map.contribution > SPLIT_MIN_PX), pull, torch.zeros_like(pull))
        rows = torch.nonzero(pull > SPLIT_PULL).squeeze(1)
        self._map.split(rows[pull[rows].argsort(descending=True, stable=True)])
