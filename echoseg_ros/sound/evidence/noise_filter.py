"""Whitening filter against ego noise, made of the covariance of the noise between the microphones.

Spectra and steering vectors are whitened with the covariance N [M, M] of each bin. The steered power is then that of the
adaptive coherence estimator, |a^H N^-1 x|^2 / (a^H N^-1 a  x^H N^-1 x) (Kraut, Scharf & McWhorter 2001), which is 1 for a
lone plane wave from the direction of a for any N. Strong noise is thereby projected out and weak noise left nearly as it
is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from echoseg_ros.types import Complex64Array

# Eigenvalues up to this factor times the mean of the lower half are what a finite window makes of independent noise.
INDEPENDENT_SPREAD = 2.0
# Largest ratio by which noise is suppressed; beyond it errors of the estimate would dominate.
MAX_RATIO = 1e3
# Least share of bins with coherent noise; below it the noise counts as independent.
MIN_COHERENT_SHARE = 0.02
# Independent noise that is added to a covariance so that it has an inverse, as a share of its mean power.
_LOADING = 1e-3


@dataclass(frozen=True)
class NoiseFilter:
    """Matrices that whiten spectra. root: [F, M, M] N^-1/2, metric: [F, M, M] N^-1; independent noise has N = 1."""

    root: Complex64Array
    metric: Complex64Array


def noise_filter(covariance: Complex64Array) -> NoiseFilter | None:
    """The filter for noise of covariance [F, M, M]; None for independent noise."""
    power, vectors = np.linalg.eigh(loaded(covariance))
    # The lower half of the eigenvalues counts as independent noise: an array of M resolves up to M / 2 noises in a bin.
    floor = power[:, : power.shape[1] // 2].mean(axis=1, keepdims=True)
    ratio = np.clip(power / (INDEPENDENT_SPREAD * np.maximum(floor, np.float32(1e-30))), 1.0, MAX_RATIO)
    if float(np.mean(ratio.max(axis=1) > INDEPENDENT_SPREAD)) < MIN_COHERENT_SHARE:
        return None
    adjoint = vectors.conj().transpose(0, 2, 1)
    root = (vectors / np.sqrt(ratio)[:, None]) @ adjoint
    metric = (vectors / ratio[:, None]) @ adjoint
    return NoiseFilter(root.astype(np.complex64), metric.astype(np.complex64))


def spectral_covariance(spectra: Complex64Array) -> Complex64Array:
    """[F, M, M] mean over frames of x x^H; spectra: [M, T, F]."""
    by_bin = np.ascontiguousarray(spectra.transpose(2, 0, 1))
    covariance: Complex64Array = by_bin @ by_bin.conj().transpose(0, 2, 1) / np.float32(spectra.shape[1])
    return covariance


def loaded(covariance: Complex64Array) -> Complex64Array:
    """The covariance [F, M, M] with a little independent noise added, so that it has an inverse."""
    count = covariance.shape[1]
    mean = np.trace(covariance, axis1=1, axis2=2).real / count
    noise = np.float32(_LOADING) * mean + np.float32(1e-20)
    result: Complex64Array = covariance + noise[:, None, None] * np.eye(count, dtype=np.float32)
    return result


@njit(cache=True, nogil=True)
def apply_filter(matrices, spectra):  # type: ignore[no-untyped-def]
    """[M, T, F] each bin's matrix [F, M, M] times its spectra [M, T, F]."""
    count, frames, bins = spectra.shape
    by_microphone = np.ascontiguousarray(matrices.transpose(1, 2, 0))
    out = np.zeros_like(spectra)
    for i in range(count):
        for j in range(count):
            for t in range(frames):
                for f in range(bins):
                    out[i, t, f] += by_microphone[i, j, f] * spectra[j, t, f]
    return out
