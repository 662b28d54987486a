"""How a far sound shows in an array's direction maps: a lobe around its direction, side lobes elsewhere.

A map's value at direction n, for a lone plane wave from u, is the mean over a band's frequencies of
|sum_m exp(i w (t_m(n) - t_m(u)))|^2 / M^2, with the array's delays t (DiBiase 2000). It depends on the array alone, so
it is tabled once: what several sounds and their reflections add up to can then be compared with what was heard.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from echoseg_ros.sound.array import ArrayGeometry
from echoseg_ros.sound.directions import cube_nodes, fibonacci_sphere
from echoseg_ros.types import Array, Lobes

# Sounds come from the nodes of a cube with so many cells along an edge (7 to 9 degrees apart, interpolated between);
# maps are compared at so many directions, spread evenly.
FACE, SAMPLES = 12, 320
_FREQUENCIES = 12


def lobes_of(array: ArrayGeometry, bands_hz: Array, bands: tuple[int, ...]) -> Lobes:
    """The lobes in some of the evidence's bands [B, 2]."""
    samples, nodes = fibonacci_sphere(SAMPLES), cube_nodes(FACE)
    at_samples, at_nodes = array.delays_for(samples), array.delays_for(nodes)
    values = np.empty((len(bands), len(nodes), SAMPLES), dtype=np.float32)
    for row, band in enumerate(bands):
        total = np.zeros((len(nodes), SAMPLES), dtype=np.float32)
        low_hz, high_hz = bands_hz[band]
        for frequency_hz in np.linspace(low_hz, high_hz, _FREQUENCIES):
            turn = 2j * np.pi * frequency_hz
            beams = np.exp(turn * at_nodes).astype(np.complex64) @ np.exp(-turn * at_samples).astype(np.complex64).T
            total += beams.real**2 + beams.imag**2
        values[row] = total / (_FREQUENCIES * array.microphones**2)
    means = values.mean(axis=2, keepdims=True)
    values -= means
    power = np.einsum("bun,bun->bu", values, values)
    return Lobes(
        samples.astype(np.float32),
        values,
        power,
        means.mean(axis=(1, 2)).astype(float),
        np.array(bands, dtype=np.int64),
    )


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
