"""Weights of the grouping network, stored as plain half-precision arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from echoseg_ros.errors import BackendError
from echoseg_ros.masks.network.model import GroupingNetwork

# The weights that are part of the package.
WEIGHTS_FILE = Path(__file__).parent / "grouping.npz"


def save_weights(file: Path, network: GroupingNetwork) -> None:
    """Write the weights atomically; counters of batches are left out."""
    arrays = {
        name: value.detach().cpu().contiguous().numpy().astype(np.float16)
        for name, value in network.state_dict().items()
        if value.dtype.is_floating_point
    }
    part = file.with_suffix(".part.npz")
    np.savez_compressed(part, **arrays)
    part.rename(file)


def load_weights(file: Path = WEIGHTS_FILE) -> GroupingNetwork:
    """The network with these weights, ready for inference.

    Raises BackendError if the file cannot be read or belongs to another network.
    """
    network = GroupingNetwork()
    expected = {name: value for name, value in network.state_dict().items() if value.dtype.is_floating_point}
    try:
        with np.load(file) as stored:
            arrays = {name: torch.from_numpy(stored[name].astype(np.float32)) for name in stored.files}
    except (OSError, ValueError) as error:
        raise BackendError(f"weights of the mask network: {file} cannot be read: {error}") from error
    wrong = sorted(
        name for name in expected.keys() | arrays.keys()
        if name not in expected or name not in arrays or expected[name].shape != arrays[name].shape
    )  # fmt: skip
    if wrong:
        raise BackendError(f"weights of the mask network: {file} does not fit the network at {wrong[0]}")
    network.load_state_dict(arrays, strict=False)
    network.eval()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network
