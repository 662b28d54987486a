"""gsplat's own trainer on the same frames, for comparison with the map: defaults of simple_trainer, stopped at 7,000 steps.

DefaultStrategy, L1 + 0.2 (1 - SSIM), spherical harmonics of degree 3 (one degree more every 1,000 steps), the published
learning rates; the centres' rate falls to a hundredth over 30,000 steps. The initial points come from the depth images, not
from structure from motion. gsplat's published figures at 7,000 steps are of the same 30,000-step run at that step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from echoseg_ros import geometry
from echoseg_ros.types import CameraFrame, Float64Array
from gpu_check.frames import Recording
from gpu_check.memory import peak_vram_gb, reset_peak, wait
from gpu_check.quality import fitted_psnr_db, psnr_db, ssim

# Default number of steps.
STEPS = 7_000
# Steps over which the centres' learning rate falls to a hundredth.
SCHEDULE_STEPS = 30_000
# Degree of the spherical harmonics, and steps after which it grows by one.
SH_DEGREE, SH_EVERY = 3, 1_000
# Weight of 1 - SSIM in the loss.
SSIM_SHARE = 0.2
# Opacity of the initial Gaussians.
INITIAL_OPACITY = 0.1
# Default number of initial points.
MAX_POINTS = 100_000
# Learning rates by gsplat's names of the parameters; that of the centres is for a scene of scale 1.
RATES = {"means": 1.6e-4, "scales": 5e-3, "quats": 1e-3, "opacities": 5e-2, "sh0": 2.5e-3, "shN": 2.5e-3 / 20}
# Spherical harmonic of degree 0.
SH_C0 = 0.28209479177387814

# Parameters of the Gaussians by gsplat's names.
Splats = torch.nn.ParameterDict


@dataclass(frozen=True)
class TrainerResult:
    """Results of the trainer; fields as in OnlineResult. seconds: time of the training alone."""

    steps: int
    seconds: float
    psnr_db: float
    fitted_psnr_db: float
    vram_gb: float
    gaussians: int


def train(
    recording: Recording, device: str, rasterization: Callable[..., Any], strategy: Any, steps: int = STEPS,
    max_points: int = MAX_POINTS,
) -> TrainerResult:  # fmt: skip
    """Train on the recording's training frames and measure on its held-out frames.

    rasterization, strategy: gsplat.rasterization and an instance of gsplat.DefaultStrategy, or their stand-ins.
    """
    torch.manual_seed(42)
    reset_peak(device)
    scale = scene_scale(recording) * 1.1
    splats = initial_splats(recording, max_points).to(device)
    optimizers = make_optimizers(splats, scale)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizers["means"], gamma=0.01 ** (1 / SCHEDULE_STEPS))
    strategy.check_sanity(splats, optimizers)
    state = strategy.initialize_state(scene_scale=scale)
    views = [_View.of(frame, device) for frame in recording.training]
    wait(device)
    start = time.perf_counter()
    for step, view in zip(range(steps), _shuffled(views)):
        drawn, info = draw(splats, view, rasterization, min(step // SH_EVERY, SH_DEGREE))
        strategy.step_pre_backward(splats, optimizers, state, step, info)
        torch.autograd.backward(_loss(drawn, view.image()))
        for optimizer in optimizers.values():
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        schedule.step()
        strategy.step_post_backward(splats, optimizers, state, step, info, packed=False)
    wait(device)
    seconds = time.perf_counter() - start
    psnr, fitted = _quality(splats, recording, device, rasterization, steps)
    return TrainerResult(steps, seconds, psnr, fitted, peak_vram_gb(device), len(splats["means"]))


def scene_scale(recording: Recording) -> float:
    """Largest distance of a camera from the cameras' mean position, as in gsplat's parser, m."""
    centres = np.stack([frame.T_map_camera[:3, 3] for frame in recording.frames])
    return max(float(np.linalg.norm(centres - centres.mean(axis=0), axis=1).max()), 1e-3)


def initial_splats(recording: Recording, max_points: int) -> Splats:
    """Initial Gaussians at points of the training frames' depth, of the size of their neighbours' distance, randomly turned."""
    points, colors = depth_points(recording, max_points)
    distances, _ = cKDTree(points).query(points, k=4)
    sizes = np.sqrt((distances[:, 1:] ** 2).mean(axis=1)).clip(1e-6)
    count = len(points)
    sh = torch.zeros(count, (SH_DEGREE + 1) ** 2, 3)
    sh[:, 0] = (torch.tensor(colors, dtype=torch.float32) - 0.5) / SH_C0
    values = {
        "means": torch.tensor(points, dtype=torch.float32),
        "scales": torch.tensor(np.log(sizes), dtype=torch.float32)[:, None].repeat(1, 3),
        "quats": torch.rand(count, 4),
        "opacities": torch.logit(torch.full((count,), INITIAL_OPACITY)),
        "sh0": sh[:, :1].clone(),
        "shN": sh[:, 1:].clone(),
    }
    return Splats({name: torch.nn.Parameter(value) for name, value in values.items()})


def depth_points(recording: Recording, max_points: int) -> tuple[Float64Array, Float64Array]:
    """Points [P, 3] in metres and colours [P, 3] in 0..1, drawn evenly from all training frames."""
    random = np.random.default_rng(42)
    frames = recording.training
    share = -(-max_points // len(frames))
    points, colors = [], []
    for frame in frames:
        assert frame.depth_m is not None
        rows, columns = np.nonzero(frame.depth_m > 0)
        chosen = random.choice(len(rows), min(share, len(rows)), replace=False)
        rows, columns = rows[chosen], columns[chosen]
        rays = geometry.pixel_rays(frame.camera)[rows, columns]
        points.append(geometry.apply(frame.T_map_camera, rays * frame.depth_m[rows, columns, None].astype(float)))
        colors.append(frame.rgb[rows, columns] / 255.0)
    return np.concatenate(points), np.concatenate(colors)


def make_optimizers(splats: Splats, scale: float) -> dict[str, torch.optim.Optimizer]:
    """Adam with the epsilon of 3DGS for each parameter; scale: of the scene."""
    rates = {**RATES, "means": RATES["means"] * scale}
    fused = splats["means"].is_cuda
    return {
        name: torch.optim.Adam([{"params": splats[name], "lr": rate, "name": name}], eps=1e-15, fused=fused)
        for name, rate in rates.items()
    }


@dataclass(frozen=True)
class _View:
    """A training view on the device. pixels: [H, W, 3] uint8; viewmat: [1, 4, 4] T_camera_map; K: [1, 3, 3]."""

    pixels: Tensor
    viewmat: Tensor
    K: Tensor

    @staticmethod
    def of(frame: CameraFrame, device: str) -> _View:
        view = torch.tensor(geometry.inverse(frame.T_map_camera), dtype=torch.float32)[None]
        lens = torch.tensor(frame.camera.matrix, dtype=torch.float32)[None]
        return _View(torch.from_numpy(frame.rgb).to(device), view.to(device), lens.to(device))

    def image(self) -> Tensor:  # [H, W, 3] in 0..1
        return self.pixels.float() / 255


def draw(
    splats: Splats, view: _View, rasterization: Callable[..., Any], sh_degree: int
) -> tuple[Tensor, dict[str, Any]]:
    """The image [H, W, 3] of a view, and the values for the strategy."""
    height, width = view.pixels.shape[:2]
    images, _, info = rasterization(
        means=splats["means"],
        quats=splats["quats"],
        scales=splats["scales"].exp(),
        opacities=splats["opacities"].sigmoid(),
        colors=torch.cat([splats["sh0"], splats["shN"]], 1),
        viewmats=view.viewmat,
        Ks=view.K,
        width=width,
        height=height,
        packed=False,
        sh_degree=sh_degree,
    )
    return images[0], info


def _shuffled(views: list[_View]) -> Iterator[_View]:
    """All views in random order, repeated without end, each time in a new order."""
    random = np.random.default_rng(42)
    while True:
        for i in random.permutation(len(views)):
            yield views[i]


def _loss(drawn: Tensor, truth: Tensor) -> Tensor:
    return (1 - SSIM_SHARE) * (drawn - truth).abs().mean() + SSIM_SHARE * (1 - ssim(drawn, truth))


@torch.no_grad()
def _quality(
    splats: Splats, recording: Recording, device: str, rasterization: Callable[..., Any], steps: int
) -> tuple[float, float]:
    values = []
    for frame in recording.held_out:
        view = _View.of(frame, device)
        drawn, _ = draw(splats, view, rasterization, min(max(steps - 1, 0) // SH_EVERY, SH_DEGREE))
        values.append((psnr_db(drawn, view.image()), fitted_psnr_db(drawn, view.image())))
    psnr, fitted = np.mean(values, axis=0)
    return float(psnr), float(fitted)
