"""Contrast of sub-windows towards candidate sources: mean correlation at the lags a source would have."""

from __future__ import annotations

import numpy as np
from numba import njit

from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.types import Float64Array

# Nodes of the table of head delays over elevation (-90 to 90 degrees) and azimuth (-180 to 180 degrees): every 3 degrees.
ELEVATIONS = 61
AZIMUTHS = 121


def head_delay_table(array: ArrayGeometry) -> Float64Array:
    """[M, E, A] seconds of delay by elevation and azimuth about the z axis of the array frame."""
    elevation, azimuth = np.meshgrid(
        np.linspace(-np.pi / 2, np.pi / 2, ELEVATIONS), np.linspace(-np.pi, np.pi, AZIMUTHS), indexing="ij"
    )
    unit = np.stack(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], axis=-1
    )
    return np.ascontiguousarray(array.far_field_delays_s(unit.reshape(-1, 3)).T.reshape(-1, *elevation.shape))


@njit(cache=True, nogil=True, error_model="numpy")
def source_contrast(  # type: ignore[no-untyped-def]
    correlations, weights, chosen, pairs, plane_delays, head_delays, T_map_array, pose_set, turns, sources, scales
):
    """[W, K] weighted mean over pairs of correlations [., P, L] at the lags of sources [K, 3], cubic between lags.

    chosen: [W] sub-windows, whose weights are weights [.]; plane_delays: [M, 3] delays of plane waves along the axes of the
    array frame, and head_delays: empty or as `head_delay_table`, both in steps of the lag grid; T_map_array:
    [O, W, 4, 4] sets of poses of the chosen sub-windows, pose_set: [K] the set for each source; turns: [K, 3, 3] from the
    array as mounted to the array as described; scales: [K] factor on the delays. One loop of more than 40 lines, which numba
    compiles as a whole.
    """
    values = np.empty((len(chosen), len(sources)))
    delays = np.empty(len(plane_delays), dtype=np.float32)
    lags = correlations.shape[2]
    middle, last = np.float32(0.5 * (lags - 1)), np.float32(lags - 2.001)
    for w in range(len(chosen)):
        correlation = correlations[chosen[w]]
        for k in range(len(sources)):
            # The source in the frame of the array as mounted (a, b, c), then as described (u, v, t).
            T, turn = T_map_array[pose_set[k], w], turns[k]
            x, y, z = sources[k, 0] - T[0, 3], sources[k, 1] - T[1, 3], sources[k, 2] - T[2, 3]
            a = T[0, 0] * x + T[1, 0] * y + T[2, 0] * z
            b = T[0, 1] * x + T[1, 1] * y + T[2, 1] * z
            c = T[0, 2] * x + T[1, 2] * y + T[2, 2] * z
            u = turn[0, 0] * a + turn[1, 0] * b + turn[2, 0] * c
            v = turn[0, 1] * a + turn[1, 1] * b + turn[2, 1] * c
            t = turn[0, 2] * a + turn[1, 2] * b + turn[2, 2] * c
            if len(head_delays):
                row = (0.5 + np.arctan2(t, np.sqrt(u * u + v * v)) / np.pi) * (head_delays.shape[1] - 1)
                column = (0.5 + np.arctan2(v, u) / (2 * np.pi)) * (head_delays.shape[2] - 1)
                i, j = min(int(row), head_delays.shape[1] - 2), min(int(column), head_delays.shape[2] - 2)
                e, f = row - i, column - j
                for m in range(len(plane_delays)):
                    below = head_delays[m, i, j] * (1 - f) + head_delays[m, i, j + 1] * f
                    above = head_delays[m, i + 1, j] * (1 - f) + head_delays[m, i + 1, j + 1] * f
                    delays[m] = (below * (1 - e) + above * e) * scales[k]
            else:
                scale = scales[k] / max(np.sqrt(u * u + v * v + t * t), 1e-9)
                for m in range(len(plane_delays)):
                    delays[m] = (u * plane_delays[m, 0] + v * plane_delays[m, 1] + t * plane_delays[m, 2]) * scale
            total = np.float32(0)
            for p in range(len(pairs)):
                place = min(max(middle + delays[pairs[p, 0]] - delays[pairs[p, 1]], np.float32(1)), last)
                n = int(place)
                s = place - np.float32(n)
                c0, c1, c2, c3 = correlation[p, n - 1], correlation[p, n], correlation[p, n + 1], correlation[p, n + 2]
                curve = np.float32(3) * (c1 - c2) + c3 - c0
                slope = np.float32(2) * c0 - np.float32(5) * c1 + np.float32(4) * c2 - c3
                total += c1 + np.float32(0.5) * s * (c2 - c0 + s * (slope + s * curve))
            values[w, k] = weights[chosen[w]] * total / np.float32(len(pairs))
    return values
