"""gsplat against the dense float64 reference and against numba: pictures, gradients, lifting, batched views."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from echoseg_ros import geometry
from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.mapping.rasterizers.conventions import Rasterizer, Rendered
from echoseg_ros.mapping.rasterizers.numba.backend import NumbaRasterizer
from echoseg_ros.mapping.rasterizers.reference import ReferenceRasterizer
from gpu_check.scenes import RandomScene

OUTPUTS = ("rgb", "depth", "alpha")
# Two passes of 32 channels, the second not full.
CLASSES = 41
# Where less than this is drawn, the mean depth says nothing.
MIN_ALPHA = 0.01
# A difference of rounding may put one contribution on the other side of 1/255: in large scenes somewhere it does, so
# there the mean is judged, in small ones the maximum.
LIMITS = {"forward": 1e-4, "views": 1e-5, "gradient": 1e-3, "lifting": 1e-4}
MEAN_LIMITS = {"forward": 1e-5, "views": 1e-6, "gradient": 5e-3, "lifting": 1e-4}


@dataclass(frozen=True)
class Comparison:
    """One difference.

    what: "forward rgb", "gradient of alpha to means", ...; error: largest absolute difference of pictures (metres for
    depth), norm of the difference over the norm of the truth for gradients and lifting; mean: mean absolute difference,
    for gradients and lifting the same as error; limit: what `judged` must not exceed.
    """

    scene: str
    judge: str
    what: str
    error: float
    mean: float
    judged: float
    limit: float

    @property
    def passed(self) -> bool:
        """False also where the difference is not a number."""
        return self.judged <= self.limit


def compare(tested: Rasterizer, device: str, scenes: Sequence[RandomScene]) -> list[Comparison]:
    """Every comparison of every scene. The judges run on the CPU, in float64 and float32."""
    results: list[Comparison] = []
    for scene in scenes:
        judges: list[tuple[str, Rasterizer, torch.dtype]] = [("numba", NumbaRasterizer(), torch.float32)]
        if scene.dense:
            judges.insert(0, ("reference", ReferenceRasterizer(), torch.float64))
        gaussians = scene.gaussians()
        for name, judge, dtype in judges:
            truth = gaussians.to("cpu", dtype)
            results += _made(scene, name, _forward(tested, device, gaussians, judge, truth, scene))
            results += _made(scene, name, _gradients(tested, device, gaussians, judge, truth, scene))
            results += _made(scene, name, _lifting(tested, device, gaussians, judge, truth, scene))
        results += _made(scene, "one by one", _views(tested, gaussians.to(device), scene))
    return results


def largest(results: Sequence[Comparison], kind: str, judge: str = "reference") -> float:
    """The largest error of a kind ("forward", "gradient", "lifting", "views") against a judge."""
    return max(result.error for result in results if result.what.startswith(kind) and result.judge == judge)


_Differences = Iterator[tuple[str, float, float]]


def _made(scene: RandomScene, judge: str, differences: _Differences) -> Iterator[Comparison]:
    for what, error, mean in differences:
        kind = what.split()[0]
        judged, limit = (error, LIMITS[kind]) if scene.dense else (mean, MEAN_LIMITS[kind])
        yield Comparison(scene.name, judge, what, error, mean, judged, limit)


def _forward(tested: Rasterizer, device: str, gaussians: Gaussians, judge: Rasterizer, truth: Gaussians,
             scene: RandomScene) -> _Differences:  # fmt: skip
    with torch.no_grad():
        drawn = tested.render(gaussians.to(device), scene.camera, scene.T_map_camera)
        right = judge.render(truth, scene.camera, scene.T_map_camera)
    for output in OUTPUTS:
        yield f"forward {output}", *_picture_difference(drawn, right, output)


def _views(tested: Rasterizer, gaussians: Gaussians, scene: RandomScene) -> _Differences:
    """Several views in one call against each on its own."""
    poses = [scene.T_map_camera @ geometry.transform(np.eye(3), np.array([0.1 * i, 0, 0])) for i in range(3)]
    cameras = [scene.camera] * len(poses)
    with torch.no_grad():
        together = tested.render_views(gaussians, cameras, poses)
        alone = [tested.render(gaussians, scene.camera, pose) for pose in poses]
    for output in OUTPUTS:
        pairs = [_picture_difference(a, b, output) for a, b in zip(together, alone, strict=True)]
        yield f"views {output}", max(error for error, _ in pairs), max(mean for _, mean in pairs)


def _gradients(tested: Rasterizer, device: str, gaussians: Gaussians, judge: Rasterizer, truth: Gaussians,
               scene: RandomScene) -> _Differences:  # fmt: skip
    weight = torch.randn(scene.camera.height, scene.camera.width, generator=torch.Generator().manual_seed(scene.seed))
    for output in OUTPUTS:
        found = _gradient(tested, gaussians.to(device), scene, output, weight)
        right = _gradient(judge, truth, scene, output, weight)
        for name, value in right.items():
            if output == "rgb" or name != "rgb":
                error = _relative(found[name], value)
                yield f"gradient of {output} to {name}", error, error


def _gradient(
    rasterizer: Rasterizer, gaussians: Gaussians, scene: RandomScene, output: str, weight: Tensor
) -> dict[str, Tensor]:
    leaves = gaussians.map(lambda tensor: tensor.detach().clone().requires_grad_())
    image: Tensor = getattr(rasterizer.render(leaves, scene.camera, scene.T_map_camera), output)
    weight = weight.to(image)
    (image * (weight[..., None] if image.dim() == 3 else weight)).sum().backward()
    return {name: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for name, leaf in leaves.items()}


def _lifting(tested: Rasterizer, device: str, gaussians: Gaussians, judge: Rasterizer, truth: Gaussians,
             scene: RandomScene) -> _Differences:  # fmt: skip
    labels = scene.labels(CLASSES)
    found = tested.lift(gaussians.to(device), scene.camera, scene.T_map_camera, labels, CLASSES)
    right = judge.lift(truth, scene.camera, scene.T_map_camera, labels, CLASSES)
    error = _relative(found, right)
    yield f"lifting of {CLASSES} classes", error, error


def _picture_difference(drawn: Rendered, right: Rendered, output: str) -> tuple[float, float]:
    difference = (getattr(drawn, output).double().cpu() - getattr(right, output).double().cpu()).abs()
    if output == "depth":
        difference = difference[right.alpha.cpu() > MIN_ALPHA]
    return float(difference.max()), float(difference.mean())


def _relative(found: Tensor, right: Tensor) -> float:
    found, right = found.double().cpu(), right.double().cpu()
    return float((found - right).norm() / right.norm().clamp(min=1e-12))
