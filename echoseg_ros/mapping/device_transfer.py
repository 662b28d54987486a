"""Copies of numpy arrays on the map's device."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


def to_device(values: NDArray[Any], device: torch.device) -> Tensor:
    """Copy a C-contiguous array to the device; a copy to a CUDA device goes through pinned memory and does not wait."""
    tensor = torch.from_numpy(values)
    if device.type != "cuda":
        return tensor.to(device)
    # torch reuses pinned memory only after the copy has finished.
    return tensor.pin_memory().to(device, non_blocking=True)
