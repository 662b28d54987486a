"""A map as it stood at one moment, to be written by any thread while its owner goes on; and fields that others put into it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.io.ply import SH_C0, GaussianFile, write_ply
from echoseg_ros.mapping.gaussians import MapGaussians

# Fields that a file of ours has beyond 3DGS' own; they are written anew each time.
OWN_FIELDS = ("instance_id", "audio_intensity")


@dataclass(frozen=True)
class CarriedFields:
    """Fields of a loaded file that mean nothing here, as f_rest_*, kept for whoever reads the map next. Never changed.

    uids: [M] strictly increasing, of the loaded Gaussians; fields: by name, [M] each.
    """

    uids: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    fields: dict[str, NDArray] = field(default_factory=dict)

    def at(self, uids: NDArray[np.int64]) -> dict[str, NDArray]:
        """The fields of Gaussians `uids` [N], [N] each: 0 for those that came later."""
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
    """Parameters as a file has them, with identities: numpy arrays that nobody else changes.

    means: [N, 3] metres, or the map's units; rgb: [N, 3], 1 = white; the rest as in Gaussians; uids: [N] strictly increasing.
    """

    means: NDArray[np.float32]
    quats_wxyz: NDArray[np.float32]
    log_scales: NDArray[np.float32]
    opacity_logits: NDArray[np.float32]
    rgb: NDArray[np.float32]
    uids: NDArray[np.int64]
    carried: CarriedFields

    @staticmethod
    def of(gaussians: MapGaussians, carried: CarriedFields) -> MapCopy:
        """Copy, on the thread that owns the map."""
        parts = {name: tensor.detach().cpu().numpy().copy() for name, tensor in gaussians.items()}
        return MapCopy(**parts, uids=gaussians.uids.cpu().numpy().copy(), carried=carried)

    def __len__(self) -> int:
        return len(self.means)

    def write(
        self,
        path: Path,
        instance_ids: NDArray[np.integer] | None = None,
        audio_intensity: NDArray[np.floating] | None = None,
    ) -> None:
        """Write a 3DGS file, atomically; compressed and without fields of ours if the path ends in .compressed.ply.

        instance_ids: [N], -1 for none; audio_intensity: [N].
        """
        own = (
            np.full(len(self), -1, np.int32) if instance_ids is None else np.asarray(instance_ids, np.int32),
            np.zeros(len(self), np.float32) if audio_intensity is None else np.asarray(audio_intensity, np.float32),
        )
        write_ply(path, GaussianFile(
            self.means, (self.rgb - np.float32(0.5)) / np.float32(SH_C0), self.opacity_logits, self.log_scales,
            self.quats_wxyz, {**self.carried.at(self.uids), **dict(zip(OWN_FIELDS, own, strict=True))},
        ))  # fmt: skip
