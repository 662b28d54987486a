"""Weights of the grouping network in a file."""

from pathlib import Path

import numpy as np
import pytest

from echoseg_ros.errors import BackendError
from echoseg_ros.masks.network.model import GroupingNetwork
from echoseg_ros.masks.network.weights import WEIGHTS_FILE, load_weights, save_weights


def test_saved_weights_are_loaded_again_and_the_file_is_small(tmp_path: Path) -> None:
    network = load_weights()
    save_weights(tmp_path / "copy.npz", network)
    again = load_weights(tmp_path / "copy.npz")
    for name, value in network.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), again.state_dict()[name].numpy())
    assert WEIGHTS_FILE.stat().st_size < 4_000_000


def test_missing_weights_and_those_of_another_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="cannot be read"):
        load_weights(tmp_path / "none.npz")
    arrays = {name: value.numpy() for name, value in GroupingNetwork().state_dict().items()}
    arrays["stem.0.weight"] = arrays["stem.0.weight"][:4]
    np.savez(tmp_path / "other.npz", **arrays)
    with pytest.raises(BackendError, match="does not fit"):
        load_weights(tmp_path / "other.npz")
