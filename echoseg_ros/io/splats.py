"""SuperSplat's compressed PLY: 16 bytes a Gaussian, and the bounds of every 256 of them.

The layout is that of PlayCanvas' splat-transform (its write-compressed-ply and decompress-ply), which SuperSplat and
the PlayCanvas engine open and gsplat's exporter writes: element chunk (18 floats: bounds of position, log scale and colour),
element vertex (4 words: position 11-10-11 bits, rotation 2-10-10-10, log scale 11-10-11, colour and opacity 8 each) and,
for trained files, element sh (f_rest_*, 8 bits). Gaussians lie in Morton order, which keeps bounds small. It has no place for
other fields: instance_id and audio_intensity are not in such a file.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.errors import MapFileError
from echoseg_ros.io.gaussian_file import SH_C0, GaussianFile, rest_names
from echoseg_ros.io.ply_container import PlyContent

CHUNK = 256
MAX_LOG_SCALE = 20.0
# Full sets of f_rest_* for 1, 2 and 3 bands; they are stored between -4 and 4.
REST_COUNTS, REST_RANGE = (9, 24, 45), 8.0

_POSITION = ("min_x", "min_y", "min_z", "max_x", "max_y", "max_z")
_SCALE = ("min_scale_x", "min_scale_y", "min_scale_z", "max_scale_x", "max_scale_y", "max_scale_z")
_COLOUR = ("min_r", "min_g", "min_b", "max_r", "max_g", "max_b")
_PACKED = ("packed_position", "packed_rotation", "packed_scale", "packed_color")
_POSITION_BITS, _COLOUR_BITS = (11, 10, 11), (8, 8, 8, 8)
# The three components of a quaternion that are stored, by which one is the largest.
_OTHERS = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])

Values = NDArray[np.float64]


def packed(gaussians: GaussianFile) -> dict[str, NDArray]:
    """The elements chunk, vertex and, with a full set of f_rest_*, sh."""
    order = morton_order(gaussians.means)
    colours = 0.5 + SH_C0 * gaussians.f_dc[order].astype(float)
    opacities = 1 / (1 + np.exp(-gaussians.opacity_logits[order].astype(float)))
    scales = np.clip(gaussians.log_scales[order], -MAX_LOG_SCALE, MAX_LOG_SCALE)
    chunks = np.zeros(-(-len(order) // CHUNK), [(name, "<f4") for name in (*_POSITION, *_SCALE, *_COLOUR)])
    rows = np.zeros(len(order), [(name, "<u4") for name in _PACKED])
    rows["packed_position"] = _words(_shares(gaussians.means[order], chunks, _POSITION), _POSITION_BITS)
    rows["packed_rotation"] = _packed_rotations(gaussians.quats_wxyz[order].astype(float))
    rows["packed_scale"] = _words(_shares(scales, chunks, _SCALE), _POSITION_BITS)
    rows["packed_color"] = _words(np.column_stack([_shares(colours, chunks, _COLOUR), opacities]), _COLOUR_BITS)
    names = rest_names(gaussians.extra)
    if len(names) not in REST_COUNTS:
        return {"chunk": chunks, "vertex": rows}
    rest = np.zeros(len(order), [(name, "u1") for name in names])
    for name in names:
        rest[name] = np.clip((gaussians.extra[name][order] / REST_RANGE + 0.5) * 256, 0, 255)
    return {"chunk": chunks, "vertex": rows, "sh": rest}


def is_packed(file: PlyContent) -> bool:
    """Whether a file claims to have this layout."""
    return "chunk" in file.elements or set(_PACKED) <= set(file.fields("vertex"))


def unpacked(file: PlyContent) -> GaussianFile:
    """The Gaussians, in the file's order; f_rest_* as extra fields. Raises MapFileError where parts do not fit."""
    count = file.count("vertex")
    if (
        file.count("chunk") != -(-count // CHUNK)
        or not set(_POSITION + _SCALE) <= set(file.fields("chunk"))
        or not set(_PACKED) <= set(file.fields("vertex"))
        or (file.fields("sh") and file.count("sh") != count)
    ):
        raise MapFileError(
            f"map file {file.path}: not SuperSplat's compressed layout, its chunks do not fit its vertices"
        )
    chunks, rows = file.rows("chunk"), file.rows("vertex")
    if any(rows.dtype[name].kind != "u" for name in _PACKED):
        raise MapFileError(
            f"map file {file.path}: not SuperSplat's compressed layout, want uint for {', '.join(_PACKED)}"
        )
    colours = _unwords(rows["packed_color"], _COLOUR_BITS)
    rgb = _within(colours[:, :3], chunks, _COLOUR) if set(_COLOUR) <= set(file.fields("chunk")) else colours[:, :3]
    # Fully opaque or transparent would be an infinite logit.
    opacities = np.clip(colours[:, 3], 0.5 / 255, 254.5 / 255)
    rest = file.rows("sh") if file.fields("sh") else None
    return GaussianFile(
        _within(_unwords(rows["packed_position"], _POSITION_BITS), chunks, _POSITION).astype(np.float32),
        ((rgb - 0.5) / SH_C0).astype(np.float32),
        np.log(opacities / (1 - opacities)).astype(np.float32),
        _within(_unwords(rows["packed_scale"], _POSITION_BITS), chunks, _SCALE).astype(np.float32),
        _unpacked_rotations(rows["packed_rotation"]).astype(np.float32),
        {} if rest is None else {name: _unpacked_rest(rest[name]) for name in file.fields("sh")},
    )


def morton_order(means: NDArray[np.float32]) -> NDArray[np.int64]:
    """[N] rows along a Z-curve through their bounds, 21 bits an axis: neighbours in space become neighbours in the file."""
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


def _shares(values: NDArray, chunks: NDArray, bounds: tuple[str, ...]) -> Values:
    """[N, 3] where between its chunk's bounds, which are filled in, each value [N, 3] lies: 0 to 1."""
    if len(values) == 0:
        return np.zeros((0, 3))
    starts = np.arange(0, len(values), CHUNK)
    low = np.minimum.reduceat(values, starts).astype(np.float32)
    high = np.maximum.reduceat(values, starts).astype(np.float32)
    for k in range(3):
        chunks[bounds[k]], chunks[bounds[3 + k]] = low[:, k], high[:, k]
    of_row = np.arange(len(values)) // CHUNK
    spread = (high.astype(float) - low)[of_row]
    return (values - low[of_row].astype(float)) / np.where(spread > 0, spread, 1.0)


def _within(shares: Values, chunks: NDArray, bounds: tuple[str, ...]) -> Values:
    of_row = np.arange(len(shares)) // CHUNK
    low, high = (np.stack([chunks[name] for name in names], axis=1).astype(float) for names in (bounds[:3], bounds[3:]))
    return low[of_row] * (1 - shares) + high[of_row] * shares


def _words(shares: Values, bits: tuple[int, ...]) -> NDArray[np.uint32]:
    """[N] numbers of 32 bits from shares [N, len(bits)] in [0, 1], the first one in the highest bits."""
    words = np.zeros(len(shares), np.uint32)
    for k, width in enumerate(bits):
        level = np.clip(np.floor(shares[:, k] * (2**width - 1) + 0.5), 0, 2**width - 1).astype(np.uint32)
        words = (words << np.uint32(width)) | level
    return words


def _unwords(words: NDArray, bits: tuple[int, ...]) -> Values:
    shares = np.zeros((len(words), len(bits)))
    left = words.astype(np.uint32)
    for k in reversed(range(len(bits))):
        shares[:, k] = (left & np.uint32(2 ** bits[k] - 1)) / (2 ** bits[k] - 1)
        left = left >> np.uint32(bits[k])
    return shares


def _packed_rotations(quats_wxyz: Values) -> NDArray[np.uint32]:
    """Which component is the largest, made positive, and the other three, which lie within +-sqrt(1/2)."""
    length = np.linalg.norm(quats_wxyz, axis=1, keepdims=True)
    unit = quats_wxyz / np.where(length > 0, length, 1.0)
    largest = np.abs(unit).argmax(axis=1)
    row = np.arange(len(unit))
    unit = unit * np.where(unit[row, largest] < 0, -1.0, 1.0)[:, None]
    shares = unit[row[:, None], _OTHERS[largest]] * np.sqrt(0.5) + 0.5
    return (largest.astype(np.uint32) << np.uint32(30)) | _words(shares, (10, 10, 10))


def _unpacked_rotations(words: NDArray) -> Values:
    others = (_unwords(words, (10, 10, 10)) - 0.5) * np.sqrt(2)
    largest = (words >> 30).astype(np.int64)
    quats_wxyz = np.zeros((len(words), 4))
    row = np.arange(len(words))
    quats_wxyz[row[:, None], _OTHERS[largest]] = others
    quats_wxyz[row, largest] = np.sqrt(np.maximum(0.0, 1.0 - (others**2).sum(axis=1)))
    return quats_wxyz


def _unpacked_rest(levels: NDArray) -> NDArray[np.float32]:
    """The middle of each level; the two ends mean the ends of the range."""
    shares = np.where(levels == 0, 0.0, np.where(levels == 255, 1.0, (levels + 0.5) / 256))
    return ((shares - 0.5) * REST_RANGE).astype(np.float32)
