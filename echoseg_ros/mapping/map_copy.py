"""Copies of the map that any thread can write to a file, with the foreign fields of a loaded file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.io.ply import SH_C0, GaussianFile, write_ply
from echoseg_ros.mapping.gaussians import MapGaussians
from echoseg_ros.types import Float32Array

# Fields that this package adds to a 3DGS file; they are written anew each time.
ECHOSEG_FIELDS = ("instance_id", "audio_intensity")


@dataclass(frozen=True)
class ForeignFields:
    """Fields of a loaded file that this package does not use (f_rest_*, ...), kept for the next reader. Immutable.

    uids: [M] strictly increasing, of the loaded Gaussians; fields: values [M] by name.
    """

    uids: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    fields: dict[str, NDArray[Any]] = field(default_factory=dict)

    def of_uids(self, uids: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Values [N] by name of the Gaussians `uids` [N]; 0 for Gaussians that were not loaded."""
        if not self.fields:
            return {}
        rows = np.searchsorted(self.uids, uids)
        known = rows < len(self.uids)
        known[known] = self.uids[rows[known]] == uids[known]
        result = {name: np.zeros(len(uids), values.dtype) for name, values in self.fields.items()}
        for name, values in result.items():
            values[known] = self.fields[name][rows[known]]
        return result


@dataclass(frozen=True)
class MapCopy:
    """Parameters and ids of the Gaussians at one moment, as numpy arrays of its own.

    means: [N, 3] map units; rgb: [N, 3], 1 = white; uids: [N] strictly increasing; the other arrays as in Gaussians.
    """

    means: Float32Array
    quats_wxyz: Float32Array
    log_scales: Float32Array
    opacity_logits: Float32Array
    rgb: Float32Array
    uids: NDArray[np.int64]
    foreign_fields: ForeignFields

    @staticmethod
    def of(gaussians: MapGaussians, foreign_fields: ForeignFields) -> MapCopy:
        """Copy the map; to be called by the thread that owns it."""
        parts = {name: tensor.detach().cpu().numpy().copy() for name, tensor in gaussians.items()}
        return MapCopy(**parts, uids=gaussians.uids.cpu().numpy().copy(), foreign_fields=foreign_fields)

    def __len__(self) -> int:
        return len(self.means)

    def write(
        self,
        path: Path,
        instance_ids: NDArray[np.integer] | None = None,
        audio_intensity: NDArray[np.floating] | None = None,
    ) -> None:
        """Write a 3DGS file, atomically. A path that ends in .compressed.ply gives a compressed file without extra fields.

        instance_ids: [N], -1 for none; audio_intensity: [N].
        """
        echoseg_values = (
            np.full(len(self), -1, np.int32) if instance_ids is None else np.asarray(instance_ids, np.int32),
            np.zeros(len(self), np.float32) if audio_intensity is None else np.asarray(audio_intensity, np.float32),
        )
        write_ply(path, GaussianFile(
            self.means, (self.rgb - np.float32(0.5)) / np.float32(SH_C0), self.opacity_logits, self.log_scales,
            self.quats_wxyz, {**self.foreign_fields.of_uids(self.uids), **dict(zip(ECHOSEG_FIELDS, echoseg_values, strict=True))},
        ))  # fmt: skip
