"""How well sounds at places of the map explain what was heard: the array's maps against the lobes the sounds would have.

At each place the array stood, and in each band, a sound shows as the lobe of its direction and, weaker, those of its
mirror images in the known walls; how loud it is there is free, but not negative. What is left unexplained, summed over
places, is compared between sets of sounds as the likelihood of independent errors of unknown size:
gain = sum over bands of worth * log(power before / power left). Against the highest back-projected sum it tells things
from their neighbours where that has one broad peak, and a second source from the reflections of the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit

from echoseg_ros.sound.evidence.lobes import CUBE_CELLS, node_weights
from echoseg_ros.sound.localisation.reflectors import Reflector
from echoseg_ros.types import Float32Array, Float64Array

# What a band says beside the others: the higher, the more lobes fit side by side. Those of the evidence's LOBE_BANDS.
BAND_WORTH = np.array([0.25, 0.5, 1.0])
# A tone shows the same stripes over again, the more the higher it is, and its reflections shift them: what its bands say, and
# beside it those without a tone, against what they say else (beeps of 2.1 and 4.2 kHz, two ears, 35 cases: right thing 24
# times, wrong 2, against 19 and 3 if the upper one counts twice as much, as with other sounds).
TONE_WORTH, BESIDE_TONE = np.array([0.25, 0.5, 0.25]), 0.25
# Share of a band's frequencies that sound least, from which on it holds a tone, and up to which it holds more (speech and
# noise 0.87 to 0.97, beeps 0.18 to 0.33).
TONE_SHARE, NO_TONE_SHARE = 0.35, 0.85
# A wall's reflection against the direct sound, over the ratio of their ways: what fits best lies between 0.4 and 0.8.
REFLECTED = 0.5


@dataclass(frozen=True)
class Heard:
    """What was heard at G places, in bands B of an array.

    lobes: [B, U, N] of what sounds, at N samples; maps: [G, B, N] contrast there; places: [G, 3] and turns: [G, 3, 3]
    of the array in the map; weights: [G], sum 1; spectrum: [B, K] how much of a band sounds at each of the lobes'
    frequencies, sum 1 in each.
    """

    lobes: Float32Array
    maps: Float32Array
    places: Float64Array
    turns: Float64Array
    weights: Float64Array
    spectrum: Float64Array

    @cached_property
    def worth(self) -> Float64Array:
        """[B] what each band says beside the others, of BAND_WORTH where there is no tone."""
        share = 1 / np.sum(self.spectrum**2, axis=1) / self.spectrum.shape[1]
        tone = np.clip((NO_TONE_SHARE - share) / (NO_TONE_SHARE - TONE_SHARE), 0.0, 1.0)
        beside = BAND_WORTH * (1 - (1 - BESIDE_TONE) * tone.max())
        return np.asarray(tone * TONE_WORTH + (1 - tone) * beside)

    @property
    def worth_share(self) -> float:
        """Of what all bands say, the share that is left beside a tone, in (0, 1]."""
        return float(self.worth.sum() / BAND_WORTH.sum())

    @cached_property
    def power(self) -> Float32Array:
        """[B, U] sum of the lobes' squares."""
        return np.einsum("bun,bun->bu", self.lobes, self.lobes)

    def directions(self, points: Float64Array) -> Float64Array:
        """[G, P, 3] unit vectors from each place to points [P, 3], array frame."""
        sight = points[None] - self.places[:, None]
        sight /= np.maximum(np.linalg.norm(sight, axis=2, keepdims=True), 1e-6)
        return np.einsum("gji,gpj->gpi", self.turns, sight)

    def column(self, point: Float64Array, reflectors: tuple[Reflector, ...], straight: float = 1.0) -> Float32Array:
        """[G, B, N] the maps of a sound at a point [3] of unit loudness, with its reflections.

        straight: how much of its power comes the straight way.
        """
        images = [point, *(image for r in reflectors if (image := r.mirrored(point)) is not None)]
        ways_m = np.linalg.norm(np.stack(images)[None] - self.places[:, None], axis=2)
        loudness = REFLECTED * ways_m[:, :1] / np.maximum(ways_m, 1e-6)
        loudness[:, 0] = straight
        return _columns(self.lobes, self.directions(np.stack(images)), loudness)


class Residual:
    """What is left of the maps, and how well one more sound anywhere would explain it, without its reflections."""

    def __init__(self, heard: Heard, maps: Float32Array) -> None:
        self._heard = heard
        by_band = [maps[:, b] @ lobes.T for b, lobes in enumerate(heard.lobes)]
        self._matched = np.stack(by_band, axis=1)
        self._power = np.einsum("g,gbn,gbn->b", heard.weights, maps, maps, optimize=True)

    def gain(self, points: Float64Array) -> Float64Array:
        """[P] of one more sound at each of the points [P, 3]."""
        heard = self._heard
        explained = _explained(
            self._matched, heard.power, heard.places, heard.turns, heard.weights, np.asarray(points, dtype=float)
        )
        left = np.maximum(1 - explained / np.maximum(self._power, 1e-12), 1e-6)
        return -np.log(left) @ heard.worth


class Explanation:
    """Sounds, one column each, fitted to the maps together."""

    def __init__(self, heard: Heard, columns: list[Float32Array]) -> None:
        stacked = np.stack(columns, axis=-1) if columns else np.empty((*heard.maps.shape, 0), dtype=np.float32)
        gram = np.matmul(stacked.swapaxes(2, 3), stacked)
        towards = np.matmul(heard.maps[:, :, None], stacked)[:, :, 0]
        power = np.einsum("gbn,gbn->gb", heard.maps, heard.maps)
        self._heard, self._stacked = heard, stacked
        self._gram, self._towards, self._power = (x.astype(float) for x in (gram, towards, power))

    def left(self, chosen: tuple[int, ...]) -> float:
        """Log of the power that the chosen columns leave, weighted by the bands' worth."""
        index = np.array(chosen, dtype=np.int64)
        left = _left(self._gram, self._towards, self._power, self._heard.weights, index)
        return float(np.log(np.maximum(left, 1e-12)) @ self._heard.worth)

    def loudness(self, chosen: tuple[int, ...]) -> Float64Array:
        """[G, B, C] of each of the chosen columns."""
        return _fitted(self._gram, self._towards, np.array(chosen, dtype=np.int64))

    def residual(self, chosen: tuple[int, ...]) -> Residual:
        """What they leave."""
        parts = np.matmul(self._stacked[..., list(chosen)], self.loudness(chosen).astype(np.float32)[..., None])[..., 0]
        return Residual(self._heard, self._heard.maps - parts)


@njit(cache=True, nogil=True)
def _columns(values, directions, loudness):  # type: ignore[no-untyped-def]
    """[G, B, N] sum over images of loudness [G, I] times the lobes [B, U, N] of their directions [G, I, 3]."""
    groups, images = loudness.shape
    bands, _, samples = values.shape
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
                        a * values[band, k, n] + b * values[band, k + 1, n]
                        + c * values[band, below, n] + d * values[band, below + 1, n]
                    )  # fmt: skip
    return out


@njit(cache=True, nogil=True)
def _explained(matched, power, places, turns, weights, points):  # type: ignore[no-untyped-def]
    """[P, B] power that a lobe towards each point takes out of the maps, by their products with all lobes [G, B, U]."""
    groups, bands, _ = matched.shape
    out = np.zeros((len(points), bands))
    for g in range(groups):
        place, turn, weight = places[g], turns[g], weights[g]
        for p in range(len(points)):
            a, b, c = points[p, 0] - place[0], points[p, 1] - place[1], points[p, 2] - place[2]
            x = turn[0, 0] * a + turn[1, 0] * b + turn[2, 0] * c
            y = turn[0, 1] * a + turn[1, 1] * b + turn[2, 1] * c
            z = turn[0, 2] * a + turn[1, 2] * b + turn[2, 2] * c
            k, s, t = node_weights(x, y, z, CUBE_CELLS)
            below = k + CUBE_CELLS + 1
            for band in range(bands):
                m, q = matched[g, band], power[band]
                product = (1 - s) * ((1 - t) * m[k] + t * m[k + 1]) + s * ((1 - t) * m[below] + t * m[below + 1])
                if product > 0:
                    norm = (1 - s) * ((1 - t) * q[k] + t * q[k + 1]) + s * ((1 - t) * q[below] + t * q[below + 1])
                    out[p, band] += weight * product * product / norm
    return out


@njit(cache=True, nogil=True)
def _solve(gram, towards, index, out):  # type: ignore[no-untyped-def]
    """Non-negative least squares by descent along the axes, for a few columns."""
    count = len(index)
    out[:] = 0
    for _ in range(60):
        moved = 0.0
        for i in range(count):
            a = index[i]
            pull = towards[a]
            for j in range(count):
                if j != i:
                    pull -= gram[a, index[j]] * out[j]
            value = max(0.0, pull / max(gram[a, a], 1e-12))
            moved = max(moved, abs(value - out[i]))
            out[i] = value
        if moved < 1e-5:
            break


@njit(cache=True, nogil=True)
def _fitted(gram, towards, index):  # type: ignore[no-untyped-def]
    groups, bands = towards.shape[:2]
    out = np.zeros((groups, bands, len(index)))
    for g in range(groups):
        for b in range(bands):
            _solve(gram[g, b], towards[g, b], index, out[g, b])
    return out


@njit(cache=True, nogil=True)
def _left(gram, towards, power, weights, index):  # type: ignore[no-untyped-def]
    groups, bands = power.shape
    total, found = np.zeros(bands), np.zeros(len(index))
    for g in range(groups):
        for b in range(bands):
            _solve(gram[g, b], towards[g, b], index, found)
            left = power[g, b]
            for i in range(len(index)):
                left -= 2 * found[i] * towards[g, b, index[i]]
                for j in range(len(index)):
                    left += found[i] * found[j] * gram[g, b, index[i], index[j]]
            total[b] += weights[g] * max(left, 0.0)
    return total
