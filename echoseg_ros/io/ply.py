"""Gaussian maps as PLY files with the 3DGS standard fields, which any viewer opens, and fields of our own after them.

Fields are found by name, so that the files of INRIA's trainer (Kerbl et al. 2023: normals, f_rest_* before opacity), of
gsplat (no normals), of SuperSplat and others are read; what is written has INRIA's order.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.errors import MapFileError
from echoseg_ros.io import splats
from echoseg_ros.io.gaussian_file import SH_C0, GaussianFile, rest_names
from echoseg_ros.io.ply_container import PlyContent, has_ply_type, read_rows, write_rows

__all__ = ["COMPRESSED_SUFFIX", "SH_C0", "STANDARD_FIELDS", "GaussianFile", "read_ply", "write_ply"]

# A path that ends like this is written in SuperSplat's compressed layout.
COMPRESSED_SUFFIX = ".compressed.ply"

_NORMALS = ("nx", "ny", "nz")
_BEFORE_REST = ("x", "y", "z", *_NORMALS, "f_dc_0", "f_dc_1", "f_dc_2")
_AFTER_REST = ("opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3")
STANDARD_FIELDS = (*_BEFORE_REST, *_AFTER_REST)
_REQUIRED = tuple(name for name in STANDARD_FIELDS if name not in _NORMALS)


def write_ply(path: Path, gaussians: GaussianFile) -> None:
    """Write atomically: the old file stays until the new one is whole and on disk.

    A path that ends in .compressed.ply gets a quarter of the size, without extra fields other than f_rest_*.
    Two savings to one path at the same time do not mix: the one that ends last stays.
    """
    path = Path(path)
    if path.name.endswith(COMPRESSED_SUFFIX):
        write_rows(path, splats.packed(gaussians), "compressed by echoseg_ros")
    else:
        write_rows(path, {"vertex": _rows(gaussians)})


def read_ply(path: Path) -> GaussianFile:
    """Read a 3DGS map file, plain or compressed, binary.

    Raises MapFileError naming what is wrong, or what the file is instead. Normals other than zero are extra fields.
    """
    file = read_rows(path)
    if splats.is_packed(file):
        gaussians = splats.unpacked(file)
    else:
        _check_kind(file)
        gaussians = _gaussians(file.rows("vertex"))
    if not gaussians.is_finite():
        raise MapFileError(f"map file {path}: holds numbers that are not finite")
    return gaussians


def _check_kind(file: PlyContent) -> None:
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


def _gaussians(rows: NDArray) -> GaussianFile:
    def stacked(*names: str) -> NDArray[np.float32]:
        with np.errstate(over="ignore"):  # a double too large is not finite, and refused
            return np.stack([rows[name].astype(np.float32) for name in names], axis=1)

    fields = rows.dtype.names or ()
    own = [name for name in fields if name not in STANDARD_FIELDS or (name in _NORMALS and rows[name].any())]
    return GaussianFile(
        stacked("x", "y", "z"), stacked("f_dc_0", "f_dc_1", "f_dc_2"), stacked("opacity")[:, 0],
        stacked("scale_0", "scale_1", "scale_2"), stacked("rot_0", "rot_1", "rot_2", "rot_3"),
        {name: rows[name].astype(rows[name].dtype.newbyteorder("="), copy=True) for name in own},
    )  # fmt: skip


def _rows(gaussians: GaussianFile) -> NDArray:
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
