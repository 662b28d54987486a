"""Lobes: the pattern that a lone far source leaves in the direction maps of an array.

The value of a map at direction n, for a plane wave from u, is the mean over a band's frequencies of
|sum_m exp(i w (t_m(n) - t_m(u)))|^2 / M^2, with the array's delays t (DiBiase 2000). It depends on the array and on the
frequencies that sound, so that it is tabulated once for several frequencies. The sum for several sources and reflections is
then compared with the measured map. A single table for broadband noise fails for tones.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.sound.array.directions import cube_nodes, fibonacci_sphere
from echoseg_ros.types import Float64Array, Lobes

# Directions of sources are the nodes of a cube with this many cells along an edge: 7 to 9 degrees apart, interpolated
# between.
CUBE_CELLS = 12
# Number of evenly spread directions at which maps are compared.
SAMPLE_DIRECTIONS = 320
# Tabulated frequencies of a band, evenly spaced from end to end.
FREQUENCIES_PER_BAND = 12


def lobe_table(array: ArrayGeometry, bands_hz: Float64Array, bands: tuple[int, ...]) -> Lobes:
    """The lobes of an array in the named ones of the evidence's bands [B, 2]."""
    samples, nodes = fibonacci_sphere(SAMPLE_DIRECTIONS), cube_nodes(CUBE_CELLS)
    at_samples_s, at_nodes_s = array.far_field_delays_s(samples), array.far_field_delays_s(nodes)
    values = np.empty((len(bands), FREQUENCIES_PER_BAND, len(nodes), SAMPLE_DIRECTIONS), dtype=np.float32)
    frequencies_hz = np.stack(
        [np.linspace(bands_hz[band, 0], bands_hz[band, 1], FREQUENCIES_PER_BAND) for band in bands]
    )
    for row, band_hz in enumerate(frequencies_hz):
        for k, frequency_hz in enumerate(band_hz):
            turn = 2j * np.pi * frequency_hz
            at_nodes = np.exp(turn * at_nodes_s).astype(np.complex64)
            beams = at_nodes @ np.exp(-turn * at_samples_s).astype(np.complex64).T
            values[row, k] = (beams.real**2 + beams.imag**2) / array.microphones**2
    means = values.mean(axis=3, keepdims=True)
    values -= means
    return Lobes(
        samples.astype(np.float32),
        values,
        means.mean(axis=(2, 3)).astype(float),
        np.array(bands, dtype=np.int64),
        frequencies_hz,
    )


def bin_shares(table_hz: Float64Array, bins_hz: Float64Array) -> Float64Array:
    """[F, B, K] share of each bin at bins_hz [F] in the two frequencies of table_hz [B, K] around it; 0 in other bands."""
    shares = np.zeros((len(bins_hz), *table_hz.shape))
    for b, band_hz in enumerate(table_hz):
        inside = np.flatnonzero((bins_hz >= band_hz[0]) & (bins_hz < band_hz[-1]))
        place = (bins_hz[inside] - band_hz[0]) / (band_hz[1] - band_hz[0])
        low = np.clip(place.astype(int), 0, len(band_hz) - 2)
        shares[inside, b, low] = 1 - (place - low)
        shares[inside, b, low + 1] = place - low
    return shares


@njit(cache=True, nogil=True, inline="always")
def node_weights(x, y, z, cells):  # type: ignore[no-untyped-def]
    """(node, row share, column share) of a direction on the nodes of a cube with `cells` cells along an edge.

    node: the first of the four nodes around it; the others follow by 1, cells + 1 and cells + 2.
    """
    ax, ay, az = abs(x), abs(y), abs(z)
    if ax >= ay and ax >= az:
        side, major, u, v = (0 if x >= 0 else 1), ax, y, z
    elif ay >= az:
        side, major, u, v = (2 if y >= 0 else 3), ay, z, x
    else:
        side, major, u, v = (4 if z >= 0 else 5), az, x, y
    half = 0.5 * cells
    row, column = u / major * half + half, v / major * half + half
    i, j = min(int(row), cells - 1), min(int(column), cells - 1)
    return (side * (cells + 1) + i) * (cells + 1) + j, row - i, column - j
