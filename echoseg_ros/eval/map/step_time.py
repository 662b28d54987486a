"""Time of an optimisation step on the CPU, compared with plain torch and with a fixed matrix product."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from echoseg_ros.eval.baselines.tiled_torch import render_tiled, tile_rectangles
from echoseg_ros.mapping.gaussian_map import GaussianMap
from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.mapping.optimize import DEPTH_WEIGHT, MEAN_RATE, RATES
from echoseg_ros.mapping.rasterizers.conventions import Rendered
from echoseg_ros.mapping.rasterizers.numba.backend import NumbaRasterizer
from echoseg_ros.mapping.rasterizers.reference import project
from echoseg_ros.types import Camera, Float64Array

# Standard deviation of a Gaussian in the image, px: each reaches into 3 to 5 tiles of 16 x 16 px.
_SIGMA_PX = 2.5
# Mean and deviation of the opacity logits: so transparent that no Gaussian is hidden behind others.
_LOGIT_MEAN = -2.0
_LOGIT_DEVIATION = 1.0
# Rows and columns of the matrices of the reference product.
_MATMUL_SIZE = 512
# Repeats of tiled torch, which is slow.
_TORCH_REPEATS = 2
# Factor on the learning rates: all repeats must draw nearly the same scene.
_RATE_FACTOR = 1e-9

_Render = Callable[[Gaussians, Camera, Float64Array], Rendered]


def visible_scene(width: int, height: int, count: int, seed: int) -> tuple[Gaussians, Camera]:
    """`count` Gaussians across the view of a camera at the origin, 1 to 4 m away, none of them hidden."""
    camera = Camera(width, height, 0.9 * width, 0.9 * width, width / 2, height / 2)
    random = np.random.default_rng(seed)
    depth_m = random.uniform(1, 4, count)
    pixels = random.uniform(0, 1, (count, 2)) * [width, height]
    rays = np.stack([(pixels[:, 0] - camera.cx) / camera.fx, (pixels[:, 1] - camera.cy) / camera.fy, np.ones(count)], 1)
    log_scales = np.log(depth_m / camera.fx * _SIGMA_PX)[:, None] + random.normal(0, 0.3, (count, 3))
    logits = random.normal(_LOGIT_MEAN, _LOGIT_DEVIATION, count)
    parts = [
        rays * depth_m[:, None],
        random.normal(size=(count, 4)),
        log_scales,
        logits,
        random.uniform(0, 1, (count, 3)),
    ]
    return Gaussians(*(torch.tensor(part, dtype=torch.float32) for part in parts)), camera


def step_times(
    width: int = 320, height: int = 240, count: int = 50_000, seed: int = 0, repeats: int = 12
) -> dict[str, float]:
    """Milliseconds of the CPU kernels and of tiled torch on the same scene, measured alternately in this process.

    Each figure is the minimum over the repeats (tiled torch: two repeats). Names end in _WIDTHxHEIGHT_COUNT, with "k"
    for thousands: `forward_ms`, `forward_backward_ms` and `step_ms` (render, loss, backward, Adam), the same with the
    prefix `torch_tiled_`, and `..._cpu_ms`, the processor time of all threads. Also: `step_speedup_vs_torch_tiled`,
    `tiles_per_gaussian`, and `reference_matmul_ms`, the time of a product of two 512 x 512 float32 matrices, which
    makes runs on different machines and loads comparable.
    """
    gaussians, camera = visible_scene(width, height, count, seed)
    target = _target(camera, seed)
    kernels, torch_tiled = (
        _TimedSteps(NumbaRasterizer().render, gaussians, camera, target),
        _TimedSteps(render_tiled, gaussians, camera, target),
    )
    matrix = np.random.default_rng(seed).normal(size=(_MATMUL_SIZE, _MATMUL_SIZE)).astype(np.float32)
    kernels.step()  # compiles
    walls: dict[str, list[float]] = {}
    cpus: dict[str, list[float]] = {}

    def measure(name: str, work: Callable[[], object]) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        cpus.setdefault(name, []).append((time.process_time() - cpu) * 1e3)
        walls.setdefault(name, []).append((time.perf_counter() - wall) * 1e3)

    for i in range(repeats):
        measure("reference_matmul", lambda: matrix @ matrix)
        for name in ("forward", "forward_backward", "step"):
            measure(name, getattr(kernels, name))
            if i * _TORCH_REPEATS % repeats < _TORCH_REPEATS:
                measure(f"torch_tiled_{name}", getattr(torch_tiled, name))
    size = f"{width}x{height}_{count // 1000}k" if count % 1000 == 0 else f"{width}x{height}_{count}"
    matmul_ms = min(walls.pop("reference_matmul"))
    figures = {f"{name}_ms_{size}": min(values) for name, values in walls.items()}
    figures |= {f"{name}_cpu_ms_{size}": min(cpus[name]) for name in ("forward", "forward_backward", "step")}
    return figures | {
        "step_speedup_vs_torch_tiled": min(walls["torch_tiled_step"]) / min(walls["step"]),
        "tiles_per_gaussian": _tiles_per_gaussian(gaussians, camera),
        "reference_matmul_ms": matmul_ms,
    }


class _TimedSteps:
    """The timed operations with one rasterizer."""

    def __init__(self, render: _Render, gaussians: Gaussians, camera: Camera, target: tuple[Tensor, Tensor]) -> None:
        self._render, self._camera, self._target = render, camera, target
        self._map = GaussianMap(len(gaussians))
        self._map.insert(gaussians)

    @torch.no_grad()
    def forward(self) -> None:
        self._render(self._map.gaussians, self._camera, np.eye(4))

    def forward_backward(self) -> Gaussians:
        leaves = self._map.gaussians.map(lambda tensor: tensor.detach().requires_grad_())
        rendered = self._render(leaves, self._camera, np.eye(4))
        rgb, depth_m = self._target
        loss = (rendered.rgb - rgb).abs().mean() + DEPTH_WEIGHT * ((rendered.depth - depth_m).abs() / depth_m).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        return Gaussians(*(tensor.grad for _, tensor in leaves.items()))  # type: ignore[arg-type]

    def step(self) -> None:
        gradients = self.forward_backward()
        rates: dict[str, float | Tensor] = {name: rate * _RATE_FACTOR for name, rate in RATES.items()}
        rates["means"] = MEAN_RATE * _RATE_FACTOR * self._map.gaussians.log_scales.amax(dim=1).exp()
        with torch.no_grad():
            self._map.adam_step(gradients, rates)


def _target(camera: Camera, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    rgb = torch.rand(camera.height, camera.width, 3, generator=generator)
    return rgb, 1 + 3 * torch.rand(camera.height, camera.width, generator=generator)


@torch.no_grad()
def _tiles_per_gaussian(gaussians: Gaussians, camera: Camera) -> float:
    projected = project(gaussians, camera, np.eye(4))
    x0, x1, y0, y1 = tile_rectangles(projected, gaussians.opacities[projected.rows], camera).unbind(1)
    return float(((x1 - x0) * (y1 - y0)).float().mean())
