"""Lobe matching: how well sounds at places of the map explain the measured direction maps.

At each array position and in each band, a sound contributes the lobe of its direction and, weaker, the lobes of its
mirror images in the known reflectors. Its loudness there is free, but not negative. Sets of sounds are compared by the
power that remains unexplained, as the likelihood of independent errors of unknown variance:
gain = sum over bands of weight * log(power before / power after). Compared with the peak of the back-projection, this
separates neighbouring instances within one broad peak, and a second source from reflections of the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit

from echoseg_ros.sound.evidence.lobes import CUBE_CELLS, node_weights
from echoseg_ros.sound.localisation.reflectors import Reflector
from echoseg_ros.types import Float32Array, Float64Array

# Weight of each of the bands extractor.LOBE_BANDS: the higher the band, the more lobes are compared.
BAND_WEIGHT = np.array([0.25, 0.5, 1.0])
# Weight of a band that holds a tone. The lobe of a tone repeats itself, and its reflections shift the repetitions.
TONE_WEIGHT = np.array([0.25, 0.5, 0.25])
# Factor on the weight of bands without a tone when another band holds one.
BESIDE_TONE_FACTOR = 0.25
# Effective share of a band's frequencies that sound: up to this share the band holds a tone.
TONE_SHARE = 0.35
# From this share on the band holds no tone; in between the weights are interpolated.
NO_TONE_SHARE = 0.85
# Loudness of a reflection relative to the direct sound at equal path lengths.
REFLECTION_GAIN = 0.5
# Sweeps of the coordinate descent at most.
MAX_SWEEPS = 60
# Change of every loudness below which the coordinate descent stops.
CONVERGED = 1e-5


@dataclass(frozen=True)
class DirectionMaps:
    """Direction maps at G array poses in the B bands of the lobe table.

    lobes: [B, U, N] lobe of each source direction for the measured spectrum, at N sample directions; maps: [G, B, N]
    measured contrast at these; positions_m: [G, 3] and rotations: [G, 3, 3] from the array frame into the map;
    weights: [G], sum 1; spectrum: [B, K] share of each tabulated frequency in the sound of its band, sum 1.
    """

    lobes: Float32Array
    maps: Float32Array
    positions_m: Float64Array
    rotations: Float64Array
    weights: Float64Array
    spectrum: Float64Array

    @cached_property
    def band_weights(self) -> Float64Array:
        """[B] weight of each band: BAND_WEIGHT without tones."""
        share = 1 / np.sum(self.spectrum**2, axis=1) / self.spectrum.shape[1]
        tone = np.clip((NO_TONE_SHARE - share) / (NO_TONE_SHARE - TONE_SHARE), 0.0, 1.0)
        beside = BAND_WEIGHT * (1 - (1 - BESIDE_TONE_FACTOR) * tone.max())
        return np.asarray(tone * TONE_WEIGHT + (1 - tone) * beside)

    @property
    def band_weight_share(self) -> float:
        """Sum of the band weights relative to that of BAND_WEIGHT, in (0, 1]; below 1 for tones."""
        return float(self.band_weights.sum() / BAND_WEIGHT.sum())

    @cached_property
    def lobe_power(self) -> Float32Array:
        """[B, U] sum of squares of each lobe."""
        power: Float32Array = np.einsum("bun,bun->bu", self.lobes, self.lobes)
        return power

    def directions(self, points: Float64Array) -> Float64Array:
        """[G, P, 3] unit vectors from each array position to points [P, 3], in the array frame."""
        sight = points[None] - self.positions_m[:, None]
        sight /= np.maximum(np.linalg.norm(sight, axis=2, keepdims=True), 1e-6)
        directions: Float64Array = np.einsum("gji,gpj->gpi", self.rotations, sight)
        return directions

    def predicted(self, point: Float64Array, reflectors: tuple[Reflector, ...], direct: float = 1.0) -> Float32Array:
        """[G, B, N] maps of a sound of unit loudness at a point [3], with its reflections.

        direct: loudness of the direct path.
        """
        images = [point, *(image for r in reflectors if (image := r.mirror_image(point)) is not None)]
        paths_m = np.linalg.norm(np.stack(images)[None] - self.positions_m[:, None], axis=2)
        loudness = REFLECTION_GAIN * paths_m[:, :1] / np.maximum(paths_m, 1e-6)
        loudness[:, 0] = direct
        maps: Float32Array = _predicted_maps(self.lobes, self.directions(np.stack(images)), loudness)
        return maps


class ResidualMaps:
    """Unexplained rest of the direction maps, and the gain of one more sound without its reflections."""

    def __init__(self, observed: DirectionMaps, residual: Float32Array) -> None:
        self._observed = observed
        by_band = [residual[:, b] @ lobes.T for b, lobes in enumerate(observed.lobes)]
        self._products = np.stack(by_band, axis=1)
        self._power = np.einsum("g,gbn,gbn->b", observed.weights, residual, residual, optimize=True)

    def gain(self, points: Float64Array) -> Float64Array:
        """[P] gain of one more sound at each of the points [P, 3]."""
        observed = self._observed
        explained = _explained_power(
            self._products, observed.lobe_power, observed.positions_m, observed.rotations, observed.weights,
            np.asarray(points, dtype=float),
        )  # fmt: skip
        left = np.maximum(1 - explained / np.maximum(self._power, 1e-12), 1e-6)
        gain: Float64Array = -np.log(left) @ observed.band_weights
        return gain


class LobeFit:
    """Joint fit of candidate sounds to the direction maps by non-negative least squares.

    candidates: predicted maps [G, B, N] of each candidate. A subset of the candidates is given by their indices.
    """

    def __init__(self, observed: DirectionMaps, candidates: list[Float32Array]) -> None:
        stacked = np.stack(candidates, axis=-1) if candidates else np.empty((*observed.maps.shape, 0), dtype=np.float32)
        gram = np.matmul(stacked.swapaxes(2, 3), stacked)
        products = np.matmul(observed.maps[:, :, None], stacked)[:, :, 0]
        power = np.einsum("gbn,gbn->gb", observed.maps, observed.maps)
        self._observed, self._stacked = observed, stacked
        self._gram, self._products, self._power = (x.astype(float) for x in (gram, products, power))

    def log_residual(self, chosen: tuple[int, ...]) -> float:
        """Weighted sum over bands of the log of the power that the chosen candidates leave unexplained."""
        index = np.array(chosen, dtype=np.int64)
        left = _residual_power(self._gram, self._products, self._power, self._observed.weights, index)
        return float(np.log(np.maximum(left, 1e-12)) @ self._observed.band_weights)

    def loudness(self, chosen: tuple[int, ...]) -> Float64Array:
        """[G, B, C] fitted loudness of each of the chosen candidates."""
        loudness: Float64Array = _fitted_loudness(self._gram, self._products, np.array(chosen, dtype=np.int64))
        return loudness

    def residual(self, chosen: tuple[int, ...]) -> ResidualMaps:
        """The maps minus the fitted chosen candidates."""
        fitted = np.matmul(self._stacked[..., list(chosen)], self.loudness(chosen).astype(np.float32)[..., None])
        return ResidualMaps(self._observed, self._observed.maps - fitted[..., 0])


@njit(cache=True, nogil=True)
def _predicted_maps(lobes, directions, loudness):  # type: ignore[no-untyped-def]
    """[G, B, N] sum over images of loudness [G, I] times the lobes [B, U, N] of their directions [G, I, 3]."""
    groups, images = loudness.shape
    bands, _, samples = lobes.shape
    out = np.zeros((groups, bands, samples), dtype=np.float32)
    for g in range(groups):
        for i in range(images):
            k, s, t = node_weights(directions[g, i, 0], directions[g, i, 1], directions[g, i, 2], CUBE_CELLS)
            below = k + CUBE_CELLS + 1
            a, b = np.float32(loudness[g, i] * (1 - s) * (1 - t)), np.float32(loudness[g, i] * (1 - s) * t)
            c, d = np.float32(loudness[g, i] * s * (1 - t)), np.float32(loudness[g, i] * s * t)
            for band in range(bands):
                for n in range(samples):
                    out[g, band, n] += (
                        a * lobes[band, k, n] + b * lobes[band, k + 1, n]
                        + c * lobes[band, below, n] + d * lobes[band, below + 1, n]
                    )  # fmt: skip
    return out


@njit(cache=True, nogil=True)
def _explained_power(products, lobe_power, positions, rotations, weights, points):  # type: ignore[no-untyped-def]
    """[P, B] power that the best fitting lobe towards each point explains; products: [G, B, U] of maps and lobes."""
    groups, bands, _ = products.shape
    out = np.zeros((len(points), bands))
    for g in range(groups):
        position, R, weight = positions[g], rotations[g], weights[g]
        for p in range(len(points)):
            a, b, c = points[p, 0] - position[0], points[p, 1] - position[1], points[p, 2] - position[2]
            x = R[0, 0] * a + R[1, 0] * b + R[2, 0] * c
            y = R[0, 1] * a + R[1, 1] * b + R[2, 1] * c
            z = R[0, 2] * a + R[1, 2] * b + R[2, 2] * c
            k, s, t = node_weights(x, y, z, CUBE_CELLS)
            below = k + CUBE_CELLS + 1
            for band in range(bands):
                m, q = products[g, band], lobe_power[band]
                product = (1 - s) * ((1 - t) * m[k] + t * m[k + 1]) + s * ((1 - t) * m[below] + t * m[below + 1])
                if product > 0:
                    norm = (1 - s) * ((1 - t) * q[k] + t * q[k + 1]) + s * ((1 - t) * q[below] + t * q[below + 1])
                    out[p, band] += weight * product * product / norm
    return out


@njit(cache=True, nogil=True)
def _solve(gram, products, index, out):  # type: ignore[no-untyped-def]
    """Non-negative least squares by coordinate descent, for a few columns `index` of the Gram matrix; writes `out`."""
    count = len(index)
    out[:] = 0
    for _ in range(MAX_SWEEPS):
        moved = 0.0
        for i in range(count):
            a = index[i]
            pull = products[a]
            for j in range(count):
                if j != i:
                    pull -= gram[a, index[j]] * out[j]
            value = max(0.0, pull / max(gram[a, a], 1e-12))
            moved = max(moved, abs(value - out[i]))
            out[i] = value
        if moved < CONVERGED:
            break


@njit(cache=True, nogil=True)
def _fitted_loudness(gram, products, index):  # type: ignore[no-untyped-def]
    """[G, B, C] loudness of the candidates `index`."""
    groups, bands = products.shape[:2]
    out = np.zeros((groups, bands, len(index)))
    for g in range(groups):
        for b in range(bands):
            _solve(gram[g, b], products[g, b], index, out[g, b])
    return out


@njit(cache=True, nogil=True)
def _residual_power(gram, products, power, weights, index):  # type: ignore[no-untyped-def]
    """[B] weighted mean over groups of the power that the candidates `index` leave."""
    groups, bands = power.shape
    total, found = np.zeros(bands), np.zeros(len(index))
    for g in range(groups):
        for b in range(bands):
            _solve(gram[g, b], products[g, b], index, found)
            left = power[g, b]
            for i in range(len(index)):
                left -= 2 * found[i] * products[g, b, index[i]]
                for j in range(len(index)):
                    left += found[i] * found[j] * gram[g, b, index[i], index[j]]
            total[b] += weights[g] * max(left, 0.0)
    return total
