"""Scenario: the map on a device other than the CPU, tested on torch's meta device, which holds shapes only.

An operation that mixes it with CPU tensors raises, as on a GPU. An operation that makes the host wait raises too, because
the meta device has no values.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.fx.experimental._config
from torch import Tensor

from echoseg_ros.config import Config
from echoseg_ros.mapping.mapper import Mapper
from echoseg_ros.mapping.optimize import PRUNE_EVERY_STEPS
from echoseg_ros.mapping.rasterizers import gsplat
from echoseg_ros.types import Camera
from gpu_check.frames import synthetic_recording

CAMERA = Camera(64, 48, 60.0, 60.0, 32.0, 24.0)


def shapes_only(**arguments: Any) -> Any:
    """A replacement for gsplat.rasterization with its shapes, devices and gradients."""
    names = ("means", "quats", "scales", "opacities", "colors", "viewmats", "Ks")
    total = sum(arguments[name].sum() for name in names)
    shape = (len(arguments["viewmats"]), arguments["height"], arguments["width"])
    channels = arguments["colors"].shape[1] + (arguments["render_mode"] == "RGB+ED")
    device = arguments["means"].device
    return torch.zeros(*shape, channels, device=device) + total, torch.zeros(*shape, 1, device=device) + total, {}


@contextmanager
def reading_back_allowed() -> Iterator[None]:
    """Let operations wait, as insertion and pruning may: copies to the host give zeros, selections every row."""
    with pytest.MonkeyPatch.context() as patch:
        copied = Tensor.cpu
        patch.setattr(Tensor, "cpu", lambda t: torch.zeros(t.shape, dtype=t.dtype) if t.is_meta else copied(t))
        patch.setattr(torch.fx.experimental._config, "meta_nonzero_assume_all_nonzero", True, raising=False)
        yield


@pytest.fixture
def mapper(monkeypatch: pytest.MonkeyPatch) -> Mapper:
    """A map on the meta device with two keyframes."""
    monkeypatch.setattr(gsplat, "_gsplat_rasterization", lambda device: shapes_only)
    settings = {"map.backend": "gsplat", "map.image_width_px": 64, "keyframes.min_interval_s": 0.0}
    mapper = Mapper(Config().updated(settings), "meta")
    with reading_back_allowed():
        for frame in synthetic_recording(CAMERA, 2).frames:
            mapper.add_frame(frame)
    return mapper


def test_all_tensors_of_the_map_are_on_its_device(mapper: Mapper) -> None:
    assert len(mapper.gaussians) > 100
    assert all(tensor.is_meta for _, tensor in mapper.gaussians.items()) and mapper.gaussians.uids.is_meta
    labels = synthetic_recording(CAMERA, 1).frames[0].rgb[..., 0].astype("int32") % 40
    lifted = mapper.lift(CAMERA, synthetic_recording(CAMERA, 1).frames[0].T_map_camera, labels, 40)
    assert lifted.is_meta and lifted.shape == (len(mapper.gaussians), 40)


def test_steps_between_two_rounds_of_pruning_do_not_wait(mapper: Mapper) -> None:
    mapper.optimise(PRUNE_EVERY_STEPS - 1)
    with reading_back_allowed():
        mapper.optimise(1)
    mapper.optimise(PRUNE_EVERY_STEPS - 1)
