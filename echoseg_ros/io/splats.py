"""Compressed PLY of SuperSplat: 16 bytes per Gaussian, and bounds per chunk of 256 Gaussians.

The layout is that of PlayCanvas splat-transform (write-compressed-ply, decompress-ply); SuperSplat and the PlayCanvas
engine read it, the exporter of gsplat writes it. Elements: chunk (18 floats: bounds of position, log scale and colour),
vertex (4 words: position 11-10-11 bits, rotation 2-10-10-10, log scale 11-10-11, colour and opacity 8 each) and, for
trained files, sh (f_rest_*, 8 bits). Gaussians are in Morton order, which keeps the bounds of a chunk small. The layout has
no place for other fields: instance_id and audio_intensity are lost.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.errors import MapFileError
from echoseg_ros.io.gaussian_file import SH_C0, GaussianFile, rest_names
from echoseg_ros.io.ply_container import PlyContainer
from echoseg_ros.types import Float64Array

# Gaussians per chunk.
CHUNK = 256
# Log scales are clipped to plus and minus this.
MAX_LOG_SCALE = 20.0
# Numbers of f_rest_* fields of a file with 1, 2 and 3 bands of spherical harmonics.
REST_COUNTS = (9, 24, 45)
# Width of the range, centred on 0, in which f_rest_* are stored.
REST_RANGE = 8.0

# Fields of the elements chunk and vertex.
_POSITION = ("min_x", "min_y", "min_z", "max_x", "max_y", "max_z")
_SCALE = ("min_scale_x", "min_scale_y", "min_scale_z", "max_scale_x", "max_scale_y", "max_scale_z")
_COLOUR = ("min_r", "min_g", "min_b", "max_r", "max_g", "max_b")
_PACKED = ("packed_position", "packed_rotation", "packed_scale", "packed_color")
# Bits of the components of a word, highest first: of position and log scale, of colour and opacity, of a rotation.
_POSITION_BITS = (11, 10, 11)
_COLOUR_BITS = (8, 8, 8, 8)
_ROTATION_BITS = (10, 10, 10)
# The three stored components of a quaternion by the index of its largest component, which is not stored.
_STORED_COMPONENTS = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])


def compressed_elements(gaussians: GaussianFile) -> dict[str, NDArray[Any]]:
    """Rows of the elements chunk, vertex and, for a complete set of f_rest_*, sh."""
    order = morton_order(gaussians.means)
    colours = 0.5 + SH_C0 * gaussians.f_dc[order].astype(float)
    opacities = 1 / (1 + np.exp(-gaussians.opacity_logits[order].astype(float)))
    scales = np.clip(gaussians.log_scales[order], -MAX_LOG_SCALE, MAX_LOG_SCALE)
    chunks = np.zeros(-(-len(order) // CHUNK), [(name, "<f4") for name in (*_POSITION, *_SCALE, *_COLOUR)])
    rows = np.zeros(len(order), [(name, "<u4") for name in _PACKED])
    rows["packed_position"] = _packed_words(_fractions(gaussians.means[order], chunks, _POSITION), _POSITION_BITS)
    rows["packed_rotation"] = _packed_rotations(gaussians.quats_wxyz[order].astype(float))
    rows["packed_scale"] = _packed_words(_fractions(scales, chunks, _SCALE), _POSITION_BITS)
    rows["packed_color"] = _packed_words(
        np.column_stack([_fractions(colours, chunks, _COLOUR), opacities]), _COLOUR_BITS
    )
    names = rest_names(gaussians.extra)
    if len(names) not in REST_COUNTS:
        return {"chunk": chunks, "vertex": rows}
    rest = np.zeros(len(order), [(name, "u1") for name in names])
    for name in names:
        rest[name] = np.clip((gaussians.extra[name][order] / REST_RANGE + 0.5) * 256, 0, 255)
    return {"chunk": chunks, "vertex": rows, "sh": rest}


def is_compressed(file: PlyContainer) -> bool:
    """Whether the elements of a file are those of this layout."""
    return "chunk" in file.elements or set(_PACKED) <= set(file.fields("vertex"))


def decompressed(file: PlyContainer) -> GaussianFile:
    """The Gaussians in the order of the file, f_rest_* as extra fields. Raises MapFileError if elements do not match."""
    count = file.count("vertex")
    if (
        file.count("chunk") != -(-count // CHUNK)
        or not set(_POSITION + _SCALE) <= set(file.fields("chunk"))
        or not set(_PACKED) <= set(file.fields("vertex"))
        or (file.fields("sh") and file.count("sh") != count)
    ):
        raise MapFileError(
            f"map file {file.path}: not the compressed layout of SuperSplat, its chunks do not fit its vertices"
        )
    chunks, rows = file.rows("chunk"), file.rows("vertex")
    if any(rows.dtype[name].kind != "u" for name in _PACKED):
        raise MapFileError(
            f"map file {file.path}: not the compressed layout of SuperSplat, want uint for {', '.join(_PACKED)}"
        )
    colours = _unpacked_words(rows["packed_color"], _COLOUR_BITS)
    rgb = (
        _interpolated(colours[:, :3], chunks, _COLOUR) if set(_COLOUR) <= set(file.fields("chunk")) else colours[:, :3]
    )
    # An opacity of 0 or 1 would have an infinite logit.
    opacities = np.clip(colours[:, 3], 0.5 / 255, 254.5 / 255)
    rest = file.rows("sh") if file.fields("sh") else None
    return GaussianFile(
        _interpolated(_unpacked_words(rows["packed_position"], _POSITION_BITS), chunks, _POSITION).astype(np.float32),
        ((rgb - 0.5) / SH_C0).astype(np.float32),
        np.log(opacities / (1 - opacities)).astype(np.float32),
        _interpolated(_unpacked_words(rows["packed_scale"], _POSITION_BITS), chunks, _SCALE).astype(np.float32),
        _unpacked_rotations(rows["packed_rotation"]).astype(np.float32),
        {} if rest is None else {name: _unpacked_rest(rest[name]) for name in file.fields("sh")},
    )


def morton_order(means: NDArray[np.float32]) -> NDArray[np.int64]:
    """[N] order of points along a Z-order curve through their bounds, 21 bits per axis: neighbours stay close in the file."""
    if len(means) == 0:
        return np.zeros(0, np.int64)
    low, high = means.min(axis=0).astype(float), means.max(axis=0).astype(float)
    cells = ((means - low) / np.maximum(high - low, 1e-30) * (2**21 - 1)).astype(np.uint64)
    for shift, mask in (
        (32, 0x1F00000000FFFF),
        (16, 0x1F0000FF0000FF),
        (8, 0x100F00F00F00F00F),
        (4, 0x10C30C30C30C30C3),
        (2, 0x1249249249249249),
    ):
        cells = (cells | (cells << np.uint64(shift))) & np.uint64(mask)
    codes = cells[:, 0] | (cells[:, 1] << np.uint64(1)) | (cells[:, 2] << np.uint64(2))
    return np.argsort(codes, kind="stable")


def _fractions(values: NDArray[Any], chunks: NDArray[Any], bounds: tuple[str, ...]) -> Float64Array:
    """[N, 3] in [0, 1], position of each value [N, 3] between the bounds of its chunk; writes the bounds into `chunks`."""
    if len(values) == 0:
        return np.zeros((0, 3))
    starts = np.arange(0, len(values), CHUNK)
    low = np.minimum.reduceat(values, starts).astype(np.float32)
    high = np.maximum.reduceat(values, starts).astype(np.float32)
    for k in range(3):
        chunks[bounds[k]], chunks[bounds[3 + k]] = low[:, k], high[:, k]
    chunk_of_row = np.arange(len(values)) // CHUNK
    spread = (high.astype(float) - low)[chunk_of_row]
    fractions: Float64Array = (values - low[chunk_of_row].astype(float)) / np.where(spread > 0, spread, 1.0)
    return fractions


def _interpolated(fractions: Float64Array, chunks: NDArray[Any], bounds: tuple[str, ...]) -> Float64Array:
    """[N, 3] values at fractions [N, 3] between the bounds of the chunks."""
    chunk_of_row = np.arange(len(fractions)) // CHUNK
    low, high = (np.stack([chunks[name] for name in names], axis=1).astype(float) for names in (bounds[:3], bounds[3:]))
    values: Float64Array = low[chunk_of_row] * (1 - fractions) + high[chunk_of_row] * fractions
    return values


def _packed_words(fractions: Float64Array, bits: tuple[int, ...]) -> NDArray[np.uint32]:
    """[N] words of 32 bits from fractions [N, len(bits)] in [0, 1]; the first fraction is in the highest bits."""
    words = np.zeros(len(fractions), np.uint32)
    for k, width in enumerate(bits):
        level = np.clip(np.floor(fractions[:, k] * (2**width - 1) + 0.5), 0, 2**width - 1).astype(np.uint32)
        words = (words << np.uint32(width)) | level
    return words


def _unpacked_words(words: NDArray[Any], bits: tuple[int, ...]) -> Float64Array:
    """[N, len(bits)] fractions in [0, 1] of words [N], the inverse of _packed_words."""
    fractions = np.zeros((len(words), len(bits)))
    remaining = words.astype(np.uint32)
    for k in reversed(range(len(bits))):
        fractions[:, k] = (remaining & np.uint32(2 ** bits[k] - 1)) / (2 ** bits[k] - 1)
        remaining = remaining >> np.uint32(bits[k])
    return fractions


def _packed_rotations(quats_wxyz: Float64Array) -> NDArray[np.uint32]:
    """[N] words: 2 bits for the index of the largest component, made positive, and the other three in +-sqrt(1/2)."""
    length = np.linalg.norm(quats_wxyz, axis=1, keepdims=True)
    unit = quats_wxyz / np.where(length > 0, length, 1.0)
    largest = np.abs(unit).argmax(axis=1)
    row = np.arange(len(unit))
    unit = unit * np.where(unit[row, largest] < 0, -1.0, 1.0)[:, None]
    fractions = unit[row[:, None], _STORED_COMPONENTS[largest]] * np.sqrt(0.5) + 0.5
    words: NDArray[np.uint32] = (largest.astype(np.uint32) << np.uint32(30)) | _packed_words(fractions, _ROTATION_BITS)
    return words


def _unpacked_rotations(words: NDArray[Any]) -> Float64Array:
    """[N, 4] unit quaternions in w, x, y, z order, the inverse of _packed_rotations."""
    stored = (_unpacked_words(words, _ROTATION_BITS) - 0.5) * np.sqrt(2)
    largest = (words >> 30).astype(np.int64)
    quats_wxyz = np.zeros((len(words), 4))
    row = np.arange(len(words))
    quats_wxyz[row[:, None], _STORED_COMPONENTS[largest]] = stored
    quats_wxyz[row, largest] = np.sqrt(np.maximum(0.0, 1.0 - (stored**2).sum(axis=1)))
    return quats_wxyz


def _unpacked_rest(levels: NDArray[Any]) -> NDArray[np.float32]:
    """The middle of each level; levels 0 and 255 are the ends of the range."""
    fractions = np.where(levels == 0, 0.0, np.where(levels == 255, 1.0, (levels + 0.5) / 256))
    return ((fractions - 0.5) * REST_RANGE).astype(np.float32)
