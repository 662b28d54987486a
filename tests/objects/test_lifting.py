"""Lifting of proposals to blending weights of Gaussians."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from echoseg_ros.geometry import look_at
from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.mapping.rasterizers.factory import make_rasterizer
from echoseg_ros.objects.lifting import lift_proposal
from echoseg_ros.types import Camera, Float64Array, MaskProposal

CAMERA = Camera(40, 30, 36.0, 36.0, 20.0, 15.0)
T_MAP_CAMERA = look_at(np.array([-1.0, 0.0, 0.3]), np.array([0.5, 0.0, 0.0]))


def random_gaussians(count: int = 60, seed: int = 0) -> Gaussians:
    rng = np.random.default_rng(seed)
    tensors = (
        rng.uniform((-0.2, -0.6, -0.4), (0.6, 0.6, 0.4), (count, 3)), rng.normal(size=(count, 4)),
        np.log(rng.uniform(0.02, 0.08, (count, 3))), rng.normal(0.5, 1, count), rng.random((count, 3)),
    )  # fmt: skip
    return Gaussians(*(torch.tensor(t, dtype=torch.float32) for t in tensors))


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_weights_of_a_label_add_up_to_the_opacity_of_its_pixels(backend: str) -> None:
    rasterizer, gaussians = make_rasterizer(backend, "cpu"), random_gaussians()
    labels = np.random.default_rng(1).integers(-1, 4, (30, 40)).astype(np.int32)
    proposal = MaskProposal(0, labels, np.ones(3, np.float32), "test")
    weights = lift_proposal(rasterizer, gaussians, CAMERA, T_MAP_CAMERA, proposal)
    assert weights.shape == (60, 4) and weights.dtype == np.float32
    alpha = rasterizer.render(gaussians, CAMERA, T_MAP_CAMERA).alpha.detach().numpy()
    for label in range(4):
        assert weights[:, label].sum() == pytest.approx(alpha[labels == label].sum(), rel=1e-4)


class Recorder:
    """Stands in for a rasterizer and keeps the arguments of `lift`."""

    def lift(
        self, gaussians: Any, camera: Camera, T_map_camera: Float64Array, labels: NDArray[np.int32], classes: int
    ) -> torch.Tensor:
        self.camera, self.classes = camera, classes
        return torch.zeros((5, classes))


def test_the_camera_has_the_size_of_the_proposal() -> None:
    recorder: Any = Recorder()
    no_gaussians: Any = None
    proposal = MaskProposal(0, np.zeros((15, 20), np.int32), np.ones(2, np.float32), "test")
    assert lift_proposal(recorder, no_gaussians, CAMERA, T_MAP_CAMERA, proposal).shape == (5, 3)
    assert recorder.camera == CAMERA.resized(20, 15) and recorder.classes == 3
