"""Gaussian maps as PLY files with the 3DGS standard fields, which any viewer opens, and fields of our own after them."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.errors import MapFileError

# Zeroth spherical harmonic: colour = 0.5 + SH_C0 * f_dc (Kerbl et al. 2023).
SH_C0 = 0.28209479177387814

STANDARD_FIELDS = (
    *("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"),
    *("scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
)
_REQUIRED = tuple(name for name in STANDARD_FIELDS if name not in ("nx", "ny", "nz"))

_TYPES = {
    **{
        "char": "i1",
        "uchar": "u1",
        "short": "i2",
        "ushort": "u2",
        "int": "i4",
        "uint": "u4",
        "float": "f4",
        "double": "f8",
    },
    **{"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"},
    **{"float32": "f4", "float64": "f8"},
}
_NAMES = {
    "i1": "char",
    "u1": "uchar",
    "i2": "short",
    "u2": "ushort",
    "i4": "int",
    "u4": "uint",
    "f4": "float",
    "f8": "double",
}
_MAX_HEADER_BYTES = 65536


@dataclass(frozen=True)
class GaussianFile:
    """What a map file holds, as 3DGS stores it.

    means: [N, 3] metres; f_dc: [N, 3]; opacity_logits: [N]; log_scales: [N, 3]; quats_wxyz: [N, 4]; all float32;
    extra: any other field by name, [N] each, in the file's type.
    """

    means: NDArray[np.float32]
    f_dc: NDArray[np.float32]
    opacity_logits: NDArray[np.float32]
    log_scales: NDArray[np.float32]
    quats_wxyz: NDArray[np.float32]
    extra: dict[str, NDArray] = field(default_factory=dict)


def write_ply(path: Path, gaussians: GaussianFile) -> None:
    """Write atomically: the old file stays until the new one is whole."""
    path = Path(path)
    rows = _rows(gaussians)
    properties = [f"property {_NAMES[rows.dtype[name].str[1:]]} {name}" for name in rows.dtype.names or ()]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}", *properties, "end_header", ""]
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write("\n".join(header).encode())
            file.write(rows.tobytes())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_ply(path: Path) -> GaussianFile:
    """Read a 3DGS map file, binary little endian. Raises MapFileError naming what is wrong."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise MapFileError(f"map file {path}: {error.strerror}") from error
    count, dtype, start = _parse_header(path, content)
    missing = [name for name in _REQUIRED if name not in (dtype.names or ())]
    if missing:
        raise MapFileError(f"map file {path}: not 3D Gaussians, lacks {', '.join(missing)}")
    if len(content) - start < count * dtype.itemsize:
        wanted = count * dtype.itemsize
        raise MapFileError(
            f"map file {path}: truncated, {len(content) - start} bytes of {wanted} for {count} Gaussians"
        )
    rows = np.frombuffer(content, dtype, count, start)
    parts = [_stack(rows, names) for names in (("x", "y", "z"), ("f_dc_0", "f_dc_1", "f_dc_2"), ("opacity",))]
    parts += [
        _stack(rows, names) for names in (("scale_0", "scale_1", "scale_2"), ("rot_0", "rot_1", "rot_2", "rot_3"))
    ]
    if not all(np.isfinite(part).all() for part in parts):
        raise MapFileError(f"map file {path}: holds numbers that are not finite")
    extra = {name: rows[name].copy() for name in dtype.names or () if name not in STANDARD_FIELDS}
    return GaussianFile(parts[0], parts[1], parts[2][:, 0], parts[3], parts[4], extra)


def _rows(gaussians: GaussianFile) -> NDArray:
    extra = {name: np.asarray(values) for name, values in gaussians.extra.items()}
    extra_types = [(name, values.dtype.newbyteorder("<")) for name, values in extra.items()]
    for name, values in extra.items():
        if values.shape != (len(gaussians.means),) or values.dtype.str[1:] not in _NAMES:
            raise ValueError(f"field {name} is {values.dtype} {values.shape}: want {len(gaussians.means)} PLY numbers")
    rows = np.zeros(len(gaussians.means), [*((name, "<f4") for name in STANDARD_FIELDS), *extra_types])
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


def _parse_header(path: Path, content: bytes) -> tuple[int, np.dtype, int]:
    """(count of vertices, type of one, where they start)."""
    end = content.find(b"end_header\n", 0, _MAX_HEADER_BYTES)
    if not content.startswith((b"ply\n", b"ply\r\n")) or end < 0:
        raise MapFileError(f"map file {path}: not a PLY file")
    lines = [line.split() for line in content[:end].decode("ascii", "replace").splitlines()]
    formats = [line[1] for line in lines if len(line) > 1 and line[0] == "format"]
    if formats != ["binary_little_endian"]:
        raise MapFileError(f"map file {path}: format {' '.join(formats) or 'unknown'}, want binary_little_endian")
    elements = [line for line in lines if line and line[0] == "element"]
    if not elements or len(elements[0]) != 3 or elements[0][1] != "vertex" or not elements[0][2].isdigit():
        raise MapFileError(f"map file {path}: the first element is not 'vertex' with a count")
    fields: list[tuple[str, str]] = []
    for line in lines[lines.index(elements[0]) + 1 :]:
        if line and line[0] == "element":
            break
        if line and line[0] == "property":
            if len(line) != 3 or line[1] not in _TYPES:
                raise MapFileError(f"map file {path}: cannot read {' '.join(line)!r}")
            fields.append((line[2], "<" + _TYPES[line[1]]))
    try:
        return int(elements[0][2]), np.dtype(fields), end + len(b"end_header\n")
    except ValueError as error:
        raise MapFileError(f"map file {path}: {error}") from error


def _stack(rows: NDArray, names: tuple[str, ...]) -> NDArray[np.float32]:
    return np.stack([rows[name].astype(np.float32) for name in names], axis=1)
