"""Copies of arrays to a device."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from echoseg_ros.mapping.device_transfer import to_device


def test_uploads_to_a_gpu_go_through_pinned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str | bool] = []

    def pin_memory(self: Tensor) -> Tensor:
        calls.append("pinned")
        return self

    def to(self: Tensor, device: torch.device, non_blocking: bool = False) -> Tensor:
        calls.append(non_blocking)
        return self

    monkeypatch.setattr(Tensor, "pin_memory", pin_memory)
    monkeypatch.setattr(Tensor, "to", to)
    to_device(np.zeros(3, np.float32), torch.device("cuda"))
    assert calls == ["pinned", True]
