"""Head-related impulse responses of SOFA files: positions in both forms, files that are refused."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from echoseg_ros.errors import ArrayError
from echoseg_ros.io.sofa import read_head_responses


def write_sofa(path: Path, directions: int) -> None:
    """Sources at azimuths 0, 90, 180 ... degrees at 2 m, ears on the y axis."""
    with h5py.File(path, "w") as file:
        sources = np.array([[90.0 * k, 0.0, 2.0] for k in range(directions)]).reshape(-1, 3)
        file["SourcePosition"] = sources
        file["SourcePosition"].attrs["Type"] = "spherical"
        file["ReceiverPosition"] = np.array([[0.0, 0.09, 0.0], [0.0, -0.09, 0.0]])[..., None]
        file["ReceiverPosition"].attrs["Type"] = "cartesian"
        file["Data.IR"] = np.zeros((directions, 2, 8))
        file["Data.SamplingRate"] = np.array([48000.0])
        file["Data.Delay"] = np.array([[1.0, 2.0]])


def test_positions_become_unit_vectors(tmp_path: Path) -> None:
    write_sofa(tmp_path / "head.sofa", 3)
    head = read_head_responses(tmp_path / "head.sofa")
    assert head.directions == pytest.approx(np.array([[1, 0, 0], [0, 1, 0], [-1, 0, 0]]), abs=1e-12)
    assert head.ears == pytest.approx(np.array([[0, 1, 0], [0, -1, 0]]))
    assert head.sample_rate_hz == 48000.0
    assert head.delays.tolist() == [[1.0, 2.0]] * 3


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "text.sofa").write_text("no HDF5")
    with pytest.raises(ArrayError, match=r"text\.sofa: not a SOFA file"):
        read_head_responses(tmp_path / "text.sofa")
    with pytest.raises(ArrayError, match=r"absent\.sofa: not a SOFA file"):
        read_head_responses(tmp_path / "absent.sofa")
    write_sofa(tmp_path / "two.sofa", 2)
    with pytest.raises(ArrayError, match=r"shape \[2, 2, 8\], want \[directions, 2 ears, samples\]"):
        read_head_responses(tmp_path / "two.sofa")
