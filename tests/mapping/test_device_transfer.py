"""Copies of arrays to a device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from echoseg_ros.mapping.device_transfer import to_device


def test_uploads_to_a_gpu_go_through_pinned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: calls.append("pinned") or self)
    monkeypatch.setattr(Tensor, "to", lambda self, device, non_blocking=False: calls.append(non_blocking) or self)
    to_device(np.zeros(3, np.float32), torch.device("cuda"))
    assert calls == ["pinned", True]
