"""How a far sound shows in an array's direction maps: a lobe around its direction, side lobes elsewhere.

A map's value at direction n, for a lone plane wave from u, is the mean over a band's frequencies of
|sum_m exp(i w (t_m(n) - t_m(u)))|^2 / M^2, with the array's delays t (DiBiase 2000). It depends on the array and on which
frequencies sound, so it is tabled once for some of them: what several sounds and their reflections add up to can then be
compared with what was heard. (With lobes of noise for all, tones were mostly not found by them.)
"""

from __future__ import annotations

import numpy as np
from numba import njit

from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.sound.array.directions import cube_nodes, fibonacci_sphere
from echoseg_ros.types import Float64Array, Lobes

# Sounds come from the nodes of a cube with so many cells along an edge (7 to 9 degrees apart, interpolated between);
# maps are compared at so many directions, spread evenly.
FACE, SAMPLES = 12, 320
# Frequencies in a band, evenly from end to end.
FREQUENCIES = 12


def lobes_of(array: ArrayGeometry, bands_hz: Float64Array, bands: tuple[int, ...]) -> Lobes:
    """The lobes in some of the evidence's bands [B, 2]."""
    samples, nodes = fibonacci_sphere(SAMPLES), cube_nodes(FACE)
    at_samples, at_nodes = array.delays_for(samples), array.delays_for(nodes)
    values = np.empty((len(bands), FREQUENCIES, len(nodes), SAMPLES), dtype=np.float32)
    frequencies_hz = np.stack([np.linspace(bands_hz[band, 0], bands_hz[band, 1], FREQUENCIES) for band in bands])
    for row, band_hz in enumerate(frequencies_hz):
        for k, frequency_hz in enumerate(band_hz):
            turn = 2j * np.pi * frequency_hz
            beams = np.exp(turn * at_nodes).astype(np.complex64) @ np.exp(-turn * at_samples).astype(np.complex64).T
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


def shares_of_bins(frequencies_hz: Float64Array, of_bins_hz: Float64Array) -> Float64Array:
    """[F, B, K] how each bin at [F] Hz is shared between the two tabled frequencies [B, K] around it; 0 in other bands."""
    shares = np.zeros((len(of_bins_hz), *frequencies_hz.shape))
    for b, tabled in enumerate(frequencies_hz):
        inside = np.flatnonzero((of_bins_hz >= tabled[0]) & (of_bins_hz < tabled[-1]))
        place = (of_bins_hz[inside] - tabled[0]) / (tabled[1] - tabled[0])
        low = np.clip(place.astype(int), 0, len(tabled) - 2)
        shares[inside, b, low] = 1 - (place - low)
        shares[inside, b, low + 1] = place - low
    return shares


@njit(cache=True, nogil=True, inline="always")
def node_weights(x, y, z, face):  # type: ignore[no-untyped-def]
    """(first node, its right and lower neighbours' steps, the two shares) of a direction on the nodes of a cube."""
    ax, ay, az = abs(x), abs(y), abs(z)
    if ax >= ay and ax >= az:
        side, major, u, v = (0 if x >= 0 else 1), ax, y, z
    elif ay >= az:
        side, major, u, v = (2 if y >= 0 else 3), ay, z, x
    else:
        side, major, u, v = (4 if z >= 0 else 5), az, x, y
    half = 0.5 * face
    row, column = u / major * half + half, v / major * half + half
    i, j = min(int(row), face - 1), min(int(column), face - 1)
    return (side * (face + 1) + i) * (face + 1) + j, row - i, column - j
