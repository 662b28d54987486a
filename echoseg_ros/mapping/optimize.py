"""Makes the map look like its keyframes: insertion, optimisation in plain torch, pruning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from echoseg_ros.config import MapConfig
from echoseg_ros.mapping import insertion
from echoseg_ros.mapping.exposure import Exposure, fitted_exposure, relative_exposure
from echoseg_ros.mapping.gaussian_map import GaussianMap, Gaussians
from echoseg_ros.mapping.keyframes import Keyframe, KeyframeStore
from echoseg_ros.mapping.rasterizer import Rasterizer, Rendered

# Adam's step sizes. Centres move in units of the Gaussian's own size, so nothing here is in metres.
MEAN_RATE = 0.25
# A centre finds its place in its first steps and then only follows slowly, so that surfaces stay thin.
SETTLING_UPDATES, SETTLED_SHARE = 15.0, 0.1
RATES = {"quats_wxyz": 0.01, "log_scales": 0.02, "opacity_logits": 0.05, "rgb": 0.01}
# Weights of the terms next to the colour's L1: relative depth error, and missing coverage.
DEPTH_WEIGHT, COVERAGE_WEIGHT = 0.2, 0.1
# A depth farther off than this share is an edge or a reflection: it does not pull.
MAX_DEPTH_ERROR = 0.1
# How often a step takes the newest keyframe, one of the window, or any past one.
NEWEST_SHARE, WINDOW_SHARE = 0.15, 0.25
# A Gaussian fainter than this no longer matters.
MIN_OPACITY = 0.1
# A keyframe that looks through a Gaussian takes this from its opacity's logit: two or three such views remove it, while
# colour can win it back where the sensor is wrong (glass, shiny lids).
FREE_SPACE_LOGIT = 1.5
# The longest axis at most this many times the middle one: no needles.
MAX_ELONGATION = 4.0


class MapOptimizer:
    """Owns the way from keyframes to Gaussians. Deterministic for a seed."""

    def __init__(self, gaussian_map: GaussianMap, rasterizer: Rasterizer, config: MapConfig) -> None:
        self._map = gaussian_map
        self._rasterizer = rasterizer
        self._random = np.random.default_rng(config.seed)
        self._exposures: dict[int, Exposure] = {}

    def forget(self, keyframe: Keyframe) -> None:
        """Drop what is remembered of a keyframe that is no longer kept."""
        self._exposures.pop(keyframe.id, None)

    def clear(self) -> None:
        """Forget all keyframes."""
        self._exposures.clear()

    def insert(self, keyframe: Keyframe) -> int:
        """Gaussians where the map does not explain the keyframe's depth; returns how many."""
        assert keyframe.depth_m is not None
        self._carve(keyframe)
        with torch.no_grad():
            drawn = self._rasterizer.render(self._map.gaussians, keyframe.camera, keyframe.T_map_camera)
        depth_m = keyframe.depth_m
        needed = insertion.unexplained(depth_m, drawn.depth.cpu().numpy(), drawn.alpha.cpu().numpy())
        new = insertion.new_gaussians(keyframe, depth_m, needed)
        exposure = self._expose(keyframe, drawn)
        return self._map.insert(replace(new, rgb=exposure.undo(new.rgb.to(self._map.device))))

    @torch.no_grad()
    def _carve(self, keyframe: Keyframe) -> None:
        """Make Gaussians fainter that float in front of every depth measured around their pixel."""
        gaussians = self._map.gaussians
        ahead = insertion.in_free_space(keyframe, gaussians.means.cpu().numpy())
        gaussians.opacity_logits[torch.from_numpy(ahead).to(gaussians.device)] -= FREE_SPACE_LOGIT

    def steps(self, count: int, keyframes: KeyframeStore) -> None:
        """That many optimisation steps, each on one keyframe."""
        if len(keyframes) == 0 or len(self._map) == 0:
            return
        for _ in range(count):
            self._step(keyframes[self._choose(len(keyframes))])
        if count:
            self._tidy()

    def _choose(self, count: int) -> int:
        draw = self._random.random()
        if draw < NEWEST_SHARE:
            return count - 1
        first = max(count - KeyframeStore.WINDOW, 0) if draw < NEWEST_SHARE + WINDOW_SHARE else 0
        return int(self._random.integers(first, count))

    def _step(self, keyframe: Keyframe) -> None:
        leaves = self._map.gaussians.map(lambda tensor: tensor.detach().requires_grad_())
        rendered = self._rasterizer.render(leaves, keyframe.camera, keyframe.T_map_camera)
        self._loss(rendered, keyframe).backward()
        gradients = Gaussians(*(tensor.grad for _, tensor in leaves.items()))  # type: ignore[arg-type]
        with torch.no_grad():
            self._map.adam_step(gradients, {**RATES, "means": self._mean_rates()})

    def _mean_rates(self) -> Tensor:  # [N]
        settled = (1 + self._map.updates / SETTLING_UPDATES).reciprocal().clamp(min=SETTLED_SHARE)
        return MEAN_RATE * settled * self._map.gaussians.log_scales.amax(dim=1).exp()

    def _expose(self, keyframe: Keyframe, drawn: Rendered) -> Exposure:
        """The keyframe's exposure as the map sees it now; a view of unknown places keeps the one before."""
        fitted = fitted_exposure(drawn.rgb.detach(), drawn.alpha.detach(), self._image(keyframe))
        newest = next(reversed(self._exposures.values()), Exposure.neutral(self._map.device))
        self._exposures[keyframe.id] = fitted or self._exposures.get(keyframe.id, newest)
        return relative_exposure(self._exposures[keyframe.id], self._exposures.values())

    def _image(self, keyframe: Keyframe) -> Tensor:  # [H, W, 3] in 0..1
        return torch.from_numpy(keyframe.rgb).to(self._map.device).float() / 255

    def _loss(self, rendered: Rendered, keyframe: Keyframe) -> Tensor:
        exposure = self._expose(keyframe, rendered)
        loss = (exposure.apply(rendered.rgb) - self._image(keyframe)).abs().mean() + COVERAGE_WEIGHT * (
            1 - rendered.alpha
        ).mean()
        if keyframe.depth_m is None:
            return loss
        depth_m = torch.from_numpy(keyframe.depth_m).to(rendered.depth.device)
        error = (rendered.depth - depth_m).abs() / depth_m.clamp(min=1e-6)
        counts = (depth_m > 0) & (error < MAX_DEPTH_ERROR)
        return loss + DEPTH_WEIGHT * torch.where(counts, error, torch.zeros_like(error)).mean()

    @torch.no_grad()
    def _tidy(self) -> None:
        """Prune what is faint and shorten what became a needle."""
        log_scales = self._map.gaussians.log_scales
        limit = log_scales.median(dim=1, keepdim=True).values + float(np.log(MAX_ELONGATION))
        torch.minimum(log_scales, limit, out=log_scales)
        self._map.keep(self._map.gaussians.opacities > MIN_OPACITY)
