"""Gaussian maps as PLY files: the 3DGS standard fields, which viewers read, then fields of this package.

Fields are found by name: files of the INRIA trainer (Kerbl et al. 2023: normals, f_rest_* before opacity), of gsplat (no
normals), of SuperSplat and others are read. Written files have the order of the INRIA trainer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.errors import MapFileError
from echoseg_ros.io import splats
from echoseg_ros.io.gaussian_file import SH_C0, GaussianFile, rest_names
from echoseg_ros.io.ply_container import PlyContainer, has_ply_type, read_container, write_container

__all__ = ["COMPRESSED_SUFFIX", "SH_C0", "STANDARD_FIELDS", "GaussianFile", "read_ply", "write_ply"]

# Suffix of files in the compressed layout of SuperSplat (splats.py).
COMPRESSED_SUFFIX = ".compressed.ply"

_NORMALS = ("nx", "ny", "nz")
_BEFORE_REST = ("x", "y", "z", *_NORMALS, "f_dc_0", "f_dc_1", "f_dc_2")
_AFTER_REST = ("opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3")
STANDARD_FIELDS = (*_BEFORE_REST, *_AFTER_REST)
_REQUIRED = tuple(name for name in STANDARD_FIELDS if name not in _NORMALS)


def write_ply(path: Path, gaussians: GaussianFile) -> None:
    """Write a map file atomically: the old file stays until the new one is complete and on disk.

    A path that ends in COMPRESSED_SUFFIX gets the compressed layout: a quarter of the size, of the extra fields only
    f_rest_*. Of two simultaneous writes to one path the last to finish stays. Raises ValueError for an extra field of
    another length or of a type that PLY does not have.
    """
    path = Path(path)
    if path.name.endswith(COMPRESSED_SUFFIX):
        write_container(path, splats.compressed_elements(gaussians), "compressed by echoseg_ros")
    else:
        write_container(path, {"vertex": _rows(gaussians)})


def read_ply(path: Path) -> GaussianFile:
    """Read a binary 3DGS map file, standard or compressed layout. Normals other than zero are extra fields.

    Raises MapFileError, which names the damage or the kind of the file.
    """
    file = read_container(path)
    if splats.is_compressed(file):
        gaussians = splats.decompressed(file)
    else:
        _check_is_gaussians(file)
        gaussians = _gaussians(file.rows("vertex"))
    if not gaussians.is_finite():
        raise MapFileError(
            f"map file {path}: holds numbers that are not finite; want finite means, colours, opacities, scales and rotations"
        )
    return gaussians


def _check_is_gaussians(file: PlyContainer) -> None:
    """Raises MapFileError, which names the kind of the file, if fields of 3D Gaussians are missing."""
    fields, count = file.fields("vertex"), file.count("vertex")
    missing = [name for name in _REQUIRED if name not in fields]
    if not missing:
        return
    if any(name.startswith(("f_dc_", "rot_", "scale_")) for name in fields):
        what = f"lacks {', '.join(missing)}"
    elif faces := file.count("face") + file.count("tristrips"):
        what = f"a mesh of {count} vertices and {faces} faces"
    elif {"x", "y", "z"} <= set(fields):
        what = f"a point cloud of {count} points with {', '.join(fields)}"
    else:
        what = f"elements {', '.join(file.elements) or 'none'} with {', '.join(fields) or 'no vertices'}"
    raise MapFileError(f"map file {file.path}: not 3D Gaussians, {what}")


def _gaussians(rows: NDArray[Any]) -> GaussianFile:
    """The Gaussians in the rows of the element vertex."""

    def stacked(*names: str) -> NDArray[np.float32]:
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite and is refused
            return np.stack([rows[name].astype(np.float32) for name in names], axis=1)

    fields = rows.dtype.names or ()
    extra_names = [name for name in fields if name not in STANDARD_FIELDS or (name in _NORMALS and rows[name].any())]
    return GaussianFile(
        stacked("x", "y", "z"), stacked("f_dc_0", "f_dc_1", "f_dc_2"), stacked("opacity")[:, 0],
        stacked("scale_0", "scale_1", "scale_2"), stacked("rot_0", "rot_1", "rot_2", "rot_3"),
        {name: rows[name].astype(rows[name].dtype.newbyteorder("="), copy=True) for name in extra_names},
    )  # fmt: skip


def _rows(gaussians: GaussianFile) -> NDArray[Any]:
    """[N] rows of the element vertex in the standard layout. Raises ValueError for an extra field that does not fit."""
    count, extra = len(gaussians.means), gaussians.extra
    for name, values in extra.items():
        if values.shape != (count,) or not has_ply_type(values):
            raise ValueError(f"field {name} is {values.dtype} {values.shape}: want {count} PLY numbers")
    rest = rest_names(extra)
    names = [*_BEFORE_REST, *rest, *_AFTER_REST, *(n for n in extra if n not in rest and n not in _NORMALS)]
    types = [extra[name].dtype.newbyteorder("<") if name in extra else np.dtype("<f4") for name in names]
    rows = np.zeros(count, list(zip(names, types, strict=True)))
    for k, name in enumerate("xyz"):
        rows[name] = gaussians.means[:, k]
        rows[f"f_dc_{k}"] = gaussians.f_dc[:, k]
        rows[f"scale_{k}"] = gaussians.log_scales[:, k]
    for k in range(4):
        rows[f"rot_{k}"] = gaussians.quats_wxyz[:, k]
    rows["opacity"] = gaussians.opacity_logits
    for name, values in extra.items():
        rows[name] = values
    return rows
