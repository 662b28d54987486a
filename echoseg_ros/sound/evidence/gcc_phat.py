"""Generalised cross-correlation with phase transform (Knapp & Carter 1976), and its sum over pairs by look-up."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft
from numba import njit
from numpy.typing import NDArray

from echoseg_ros.types import Complex64Array, Float32Array, Float64Array


def frame_spectra(samples: Float32Array, taper: Float32Array, used: slice) -> Complex64Array:
    """[M, T, F] spectra of samples [M, S] in frames of the taper's length that overlap by half, at the used bins."""
    frame = len(taper)
    short = frame - samples.shape[1]
    if short > 0:
        samples = np.pad(samples, ((0, 0), (0, short)))
    frames = np.lib.stride_tricks.sliding_window_view(samples, frame, axis=1)[:, :: frame // 2]
    spectra = scipy.fft.rfft(frames * taper, axis=2, workers=1)[:, :, used]
    return np.ascontiguousarray(spectra, dtype=np.complex64)


def diffuse_coherence(
    delays_s: Float64Array, pairs: NDArray[np.integer], frequencies_hz: NDArray[np.floating[Any]]
) -> NDArray[np.complex128]:
    """[P, F] coherence of each pair in a diffuse field: the mean phase factor over evenly spread directions.

    delays_s: [D, M] far-field delays for these directions; pairs: [P, 2] microphones; frequencies_hz: [F].
    """
    lags_s = delays_s[:, pairs[:, 0]] - delays_s[:, pairs[:, 1]]
    return np.stack([np.exp(-2j * np.pi * frequencies_hz * lag_s[:, None]).mean(axis=0) for lag_s in lags_s.T])


@njit(cache=True, nogil=True, error_model="numpy")
def phase_transform(spectra):  # type: ignore[no-untyped-def]
    """[M, T, F] spectra divided by their moduli."""
    flat = spectra.reshape(-1)
    out = np.empty_like(flat)
    one, least = np.float32(1), np.float32(1e-24)
    for k in range(len(flat)):
        x = flat[k]
        scale = one / np.sqrt(max(x.real * x.real + x.imag * x.imag, least))
        out[k] = complex(x.real * scale, x.imag * scale)
    return out.reshape(spectra.shape)


@njit(cache=True, nogil=True)
def cross_spectra(whitened, weights, pairs):  # type: ignore[no-untyped-def]
    """[P, F] weighted sum over frames of X_i conj(X_j); whitened: [M, T, F], weights: [T, F], pairs: [P, 2]."""
    _, frames, bins = whitened.shape
    cross = np.zeros((len(pairs), bins), dtype=np.complex64)
    for p in range(len(pairs)):
        i, j = pairs[p]
        for t in range(frames):
            for f in range(bins):
                cross[p, f] += weights[t, f] * whitened[i, t, f] * np.conj(whitened[j, t, f])
    return cross


@njit(cache=True, nogil=True)
def correlations(cross, cos, sin, band_of_bin, bands):  # type: ignore[no-untyped-def]
    """[P, L, B] real part of the inverse transform of each band at the lags of the tables cos, sin [F, L]."""
    count, bins = cross.shape
    lags = cos.shape[1]
    correlation = np.empty((count, lags, bands), dtype=np.float32)
    row = np.empty((bands, lags), dtype=np.float32)
    for p in range(count):
        row[:] = 0
        for f in range(bins):
            b, real, imag = band_of_bin[f], cross[p, f].real, cross[p, f].imag
            for k in range(lags):
                row[b, k] += real * cos[f, k] - imag * sin[f, k]
        for k in range(lags):
            for b in range(bands):
                correlation[p, k, b] = row[b, k]
    return correlation


@njit(cache=True, nogil=True)
def steered_sum(correlation, index, share):  # type: ignore[no-untyped-def]
    """[D, B] sum over pairs of the correlation [P, L, B] at each direction's lag, linear between lags.

    index, share: [P, D] grid cell of the lag and place in it. B is 4, one vector register.
    """
    count, directions = index.shape
    total = np.zeros((directions, 4), dtype=np.float32)
    for p in range(count):
        row = correlation[p]
        for d in range(directions):
            k, s = index[p, d], share[p, d]
            r = np.float32(1) - s
            total[d, 0] += r * row[k, 0] + s * row[k + 1, 0]
            total[d, 1] += r * row[k, 1] + s * row[k + 1, 1]
            total[d, 2] += r * row[k, 2] + s * row[k + 1, 2]
            total[d, 3] += r * row[k, 3] + s * row[k + 1, 3]
    return total
