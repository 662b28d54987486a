"""Comparison of gsplat with the dense float64 reference and with numba: images, gradients, lifting, several views at once."""

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

# Compared outputs of a rasterizer.
OUTPUTS = ("rgb", "depth", "alpha")
# Classes of the lifting: two passes of 32 channels, the second one partly filled.
CLASSES = 41
# Alpha below which depth is not compared: the mean depth is undefined there.
MIN_ALPHA = 0.01
# Limits of the largest error in small scenes, by kind of comparison.
LIMITS = {"forward": 1e-4, "views": 1e-5, "gradient": 1e-3, "lifting": 1e-4}
# Limits of the mean error in large scenes. There, rounding puts single contributions on the other side of the alpha
# threshold 1/255, and the largest error is therefore not limited.
MEAN_LIMITS = {"forward": 1e-5, "views": 1e-6, "gradient": 5e-3, "lifting": 1e-4}


@dataclass(frozen=True)
class Comparison:
    """One compared quantity.

    judge: name of the rasterizer that gives the expected values; what: "forward rgb", "gradient of alpha to means", ...;
    error: largest absolute difference of images (metres for depth), for gradients and lifting the norm of the difference
    over the norm of the expected values; mean: mean absolute difference, for gradients and lifting equal to error; judged:
    the one of both that is limited; limit: of `judged`.
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
        """Whether the error is within its limit; False also if it is not a number."""
        return self.judged <= self.limit


def compare(tested: Rasterizer, device: str, scenes: Sequence[RandomScene]) -> list[Comparison]:
    """All comparisons of all scenes. The expected values come from rasterizers on the CPU, in float64 and float32."""
    results: list[Comparison] = []
    for scene in scenes:
        judges: list[tuple[str, Rasterizer, torch.dtype]] = [("numba", NumbaRasterizer(), torch.float32)]
        if scene.dense:
            judges.insert(0, ("reference", ReferenceRasterizer(), torch.float64))
        gaussians = scene.gaussians()
        for name, judge, dtype in judges:
            reference_gaussians = gaussians.to("cpu", dtype)
            results += _comparisons(scene, name, _forward(tested, device, gaussians, judge, reference_gaussians, scene))
            results += _comparisons(
                scene, name, _gradients(tested, device, gaussians, judge, reference_gaussians, scene)
            )
            results += _comparisons(scene, name, _lifting(tested, device, gaussians, judge, reference_gaussians, scene))
        results += _comparisons(scene, "one by one", _views(tested, gaussians.to(device), scene))
    return results


def largest(results: Sequence[Comparison], kind: str, judge: str = "reference") -> float:
    """Largest error of a kind ("forward", "gradient", "lifting", "views") against a judge."""
    return max(result.error for result in results if result.what.startswith(kind) and result.judge == judge)


_Differences = Iterator[tuple[str, float, float]]


def _comparisons(scene: RandomScene, judge: str, differences: _Differences) -> Iterator[Comparison]:
    for what, error, mean in differences:
        kind = what.split()[0]
        judged, limit = (error, LIMITS[kind]) if scene.dense else (mean, MEAN_LIMITS[kind])
        yield Comparison(scene.name, judge, what, error, mean, judged, limit)


def _forward(tested: Rasterizer, device: str, gaussians: Gaussians, judge: Rasterizer, reference_gaussians: Gaussians,
             scene: RandomScene) -> _Differences:  # fmt: skip
    with torch.no_grad():
        drawn = tested.render(gaussians.to(device), scene.camera, scene.T_map_camera)
        expected = judge.render(reference_gaussians, scene.camera, scene.T_map_camera)
    for output in OUTPUTS:
        yield f"forward {output}", *_image_difference(drawn, expected, output)


def _views(tested: Rasterizer, gaussians: Gaussians, scene: RandomScene) -> _Differences:
    """Differences between several views in one call and each view in a call of its own."""
    poses = [scene.T_map_camera @ geometry.transform(np.eye(3), np.array([0.1 * i, 0, 0])) for i in range(3)]
    cameras = [scene.camera] * len(poses)
    with torch.no_grad():
        together = tested.render_views(gaussians, cameras, poses)
        alone = [tested.render(gaussians, scene.camera, pose) for pose in poses]
    for output in OUTPUTS:
        pairs = [_image_difference(a, b, output) for a, b in zip(together, alone, strict=True)]
        yield f"views {output}", max(error for error, _ in pairs), max(mean for _, mean in pairs)


def _gradients(tested: Rasterizer, device: str, gaussians: Gaussians, judge: Rasterizer, reference_gaussians: Gaussians,
               scene: RandomScene) -> _Differences:  # fmt: skip
    weight = torch.randn(scene.camera.height, scene.camera.width, generator=torch.Generator().manual_seed(scene.seed))
    for output in OUTPUTS:
        found = _gradient(tested, gaussians.to(device), scene, output, weight)
        expected = _gradient(judge, reference_gaussians, scene, output, weight)
        for name, value in expected.items():
            if output == "rgb" or name != "rgb":
                error = _relative(found[name], value)
                yield f"gradient of {output} to {name}", error, error


def _gradient(
    rasterizer: Rasterizer, gaussians: Gaussians, scene: RandomScene, output: str, weight: Tensor
) -> dict[str, Tensor]:
    leaves = gaussians.map(lambda tensor: tensor.detach().clone().requires_grad_())
    image: Tensor = getattr(rasterizer.render(leaves, scene.camera, scene.T_map_camera), output)
    weight = weight.to(image)
    torch.autograd.backward((image * (weight[..., None] if image.dim() == 3 else weight)).sum())
    return {name: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for name, leaf in leaves.items()}


def _lifting(tested: Rasterizer, device: str, gaussians: Gaussians, judge: Rasterizer, reference_gaussians: Gaussians,
             scene: RandomScene) -> _Differences:  # fmt: skip
    labels = scene.labels(CLASSES)
    found = tested.lift(gaussians.to(device), scene.camera, scene.T_map_camera, labels, CLASSES)
    expected = judge.lift(reference_gaussians, scene.camera, scene.T_map_camera, labels, CLASSES)
    error = _relative(found, expected)
    yield f"lifting of {CLASSES} classes", error, error


def _image_difference(drawn: Rendered, expected: Rendered, output: str) -> tuple[float, float]:
    difference = (getattr(drawn, output).double().cpu() - getattr(expected, output).double().cpu()).abs()
    if output == "depth":
        difference = difference[expected.alpha.cpu() > MIN_ALPHA]
    return float(difference.max()), float(difference.mean())


def _relative(found: Tensor, expected: Tensor) -> float:
    found, expected = found.double().cpu(), expected.double().cpu()
    return float((found - expected).norm() / expected.norm().clamp(min=1e-12))
