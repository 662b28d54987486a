"""What one audio window says about directions: steered response power with phase transform (SRP-PHAT) by look-up.

GCC-PHAT of every microphone pair (Knapp & Carter 1976) is computed once per window on a common grid of lags; the
map of directions adds, for each direction, the pairs' values at the lags a sound from there would have (DiBiase
2000). Time-frequency bins are weighted, never gated: bins near the tracked noise floor and frames in the decay of
earlier ones count less. What a diffuse field would show is taken out: to a flat array reverberation looks like sound
from above and below (square of four, 0.4 s: position errors of 0.25 to 1.7 m with it, below 0.1 m without).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft
import scipy.ndimage
import scipy.signal
from numba import njit
from numpy.typing import NDArray

from echoseg_ros.config import SoundConfig
from echoseg_ros.errors import ArrayError, ConfigError
from echoseg_ros.sound.array import SPEED_OF_SOUND_M_PER_S, ArrayGeometry
from echoseg_ros.sound.directions import fibonacci_sphere
from echoseg_ros.sound.lobes import lobes_of
from echoseg_ros.sound.own_noise import NoiseFilter, OwnNoise, apply_filter, read_recording
from echoseg_ros.types import Array, AudioWindow, SoundEvidence

# Speech and most sounds hold their spectrum for about this long; reverberation comes later.
FRAME_S = 0.03
BANDS = 4
# Bands whose maps are compared with the lobes of sounds: in the lowest the lobes of a small array are too wide.
LOBE_BANDS = (1, 2, 3)
# Lags per period of the highest frequency: linear interpolation between them errs by less than 1 %.
LAGS_PER_PERIOD = 20
# A bin at the noise floor still counts this much of a clean one.
MIN_WEIGHT = 0.005
# The power of noise alone in one frame and bin is often so far above its floor. In a window with a tone this much does not
# count, or the many bins of noise outweigh the few of the tone (beeps, two ears, 5 rooms, 10 dB: heard in none of them,
# now in all). In other windows it does, since a steady sound is its own floor.
NOISE_DB = 3.0
# Bins this far above the noise floor count in full.
FULL_WEIGHT_DB = 10.0
# A bin that stands so far above the median of so many around it holds a tone, and counts as if it were above the floor.
LINE_DB, LINE_BINS = 4.0, 15
# What sounds is followed by its reverberation, taken to fall by 60 dB in this time. Frames count by what of their power is
# new (the precedence effect: first arrivals come straight), but no less than so much. 42 places in 3 rooms, noise,
# speech, dog, clock and baby, 20 and 5 dB, against the root of a frame's power over the bin's loudest (degrees, median /
# 90th percentile): 0.4 s 2.2/7.4 -> 1.9/7.2 and 3.8/23 -> 3.4/22; 0.7 s 2.7/12 -> 2.3/9.7 and 4.2/45 -> 4.1/31; the peak
# stands out 1.5 to 1.7 times as far. The gain is in what begins (clock 2.4 -> 1.3, beeps); steady noise and rain are as
# before, and at 0 dB, where noise begins too, the median is up to a fifth worse. Both together were worse than this
# alone, and a weight by the pairs' coherence over 5 frames worse than none (0.7 s, 20 dB: 1.7/10 -> 2.2/21): it picks the
# bins where one strong reflection is alone.
ECHO_S, LEAST_DIRECT = 1.0, 0.05
# The floor is the least power of windows this long back: longer than any pause-free speech.
FLOOR_MEMORY_S = 12.0
# Level above the floor at which a window is as likely sound as noise, and the width of that change.
ACTIVE_DB, ACTIVE_WIDTH_DB = 3.0, 0.6
# Peak over mean of the direction map (1 = a lone plane wave) that makes a window half active whatever its level;
# microphone noise alone reaches about 0.01, a source in a live room 0.1 to 0.4.
ACTIVE_CONTRAST = 0.06
# The share of the directions, the quietest ones, on which the diffuse part is measured: away from the sources.
DIFFUSE_SHARE = 0.7
# Directions in which the own noise's filter leaves less of a plane wave are not raised by more than the inverse of this.
LEAST_KEPT = 0.1
# Below this there is nothing but rounding.
SILENCE_DB = -100.0


def peak_direction(evidence: SoundEvidence) -> Array:
    """[3] unit vector of the map's highest point, between the grid's directions, array frame.

    A paraboloid in the tangent plane is fitted to the map around its highest direction.
    """
    directions = evidence.directions_array.astype(float)
    energy = evidence.energy.sum(axis=0).astype(float)
    best = directions[int(np.argmax(energy))]
    radius_rad = 1.7 * np.sqrt(4 * np.pi / len(directions))  # the direction itself and two rings of neighbours
    near = directions @ best > np.cos(radius_rad)
    across = np.linalg.svd(best[None])[2][1:]  # [2, 3] axes of the tangent plane
    u, v = across @ (directions[near] / (directions[near] @ best)[:, None]).T
    terms = np.stack([u * u, u * v, v * v, u, v, np.ones_like(u)], axis=1)
    a, b, c, d, e, _ = np.linalg.lstsq(terms, energy[near], rcond=None)[0]
    curvature, axes = np.linalg.eigh(np.array([[2 * a, b], [b, 2 * c]]))
    falls = curvature < 0.05 * min(curvature[0], 0.0)  # along the ridge of a line or a pair there is no vertex
    vertex = axes[:, falls] @ ((axes[:, falls].T @ [-d, -e]) / curvature[falls])
    vertex *= min(1.0, radius_rad / max(float(np.linalg.norm(vertex)), 1e-12))
    peak = best + vertex @ across
    return peak / np.linalg.norm(peak)


class NoiseFloor:
    """Least mean power per bin and per band over the last windows (minimum statistics, Martin 2001)."""

    # The least of some fifty window means lies about this far below the mean itself.
    _BIAS = 1.2

    def __init__(self, windows: int) -> None:
        self._windows = max(2, windows)
        self._bins: NDArray[np.float32] | None = None
        self._bands: Array = np.empty(0)
        self._count = 0

    def update(self, bin_power: NDArray[np.float32], band_power: Array) -> tuple[NDArray[np.float32], Array]:
        """Take a window's mean powers [F] and [B]; returns the floors [F] and [B] with this window in them."""
        if self._bins is None:
            self._bins = np.full((self._windows, len(bin_power)), np.inf, dtype=np.float32)
            self._bands = np.full((self._windows, len(band_power)), np.inf)
        slot = self._count % self._windows
        self._bins[slot], self._bands[slot] = bin_power, band_power
        self._count += 1
        return self._bins.min(axis=0) * np.float32(self._BIAS), self._bands.min(axis=0)


class EvidenceExtractor:
    """Direction maps of an array's windows. One per array: it precomputes tables and tracks the noise floor.

    Raises ConfigError if no frequency is left between the limits, ArrayError if a window has other microphones.
    """

    def __init__(self, array: ArrayGeometry, sample_rate_hz: float, config: SoundConfig) -> None:
        self._array, self._rate_hz = array, float(sample_rate_hz)
        self._dimensions = _dimensions(array.microphones_m)
        self._frame = 2 ** round(np.log2(FRAME_S * self._rate_hz))
        self._taper = scipy.signal.windows.hann(self._frame, sym=False).astype(np.float32)
        frequencies_hz = np.fft.rfftfreq(self._frame, 1.0 / self._rate_hz)
        high_hz = min(config.high_hz, 0.475 * self._rate_hz)
        used = np.flatnonzero((frequencies_hz >= config.low_hz) & (frequencies_hz <= high_hz))
        if len(used) < BANDS:
            raise ConfigError(f"sound.low_hz = {config.low_hz:g}, high_hz = {high_hz:g}: want a range that holds sound")
        self._used = slice(int(used[0]), int(used[-1]) + 1)
        edges_hz = np.geomspace(frequencies_hz[used[0]], frequencies_hz[used[-1]], BANDS + 1)
        self.bands_hz = np.stack([edges_hz[:-1], edges_hz[1:]], axis=1)
        self._band_of_bin = np.clip(np.searchsorted(edges_hz, frequencies_hz[used], side="right") - 1, 0, BANDS - 1)
        self._pairs = np.stack(np.triu_indices(array.microphones, 1), axis=1).astype(np.int32)
        self.directions = fibonacci_sphere(config.directions).astype(np.float32)
        self._lag_index, self._lag_share, lags_s = self._lag_table()
        self._lag_step_s = float(lags_s[1] - lags_s[0])
        phase_rad = 2 * np.pi * frequencies_hz[used][:, None] * lags_s
        self._cos, self._sin = np.cos(phase_rad).astype(np.float32), np.sin(phase_rad).astype(np.float32)
        self._diffuse, self._diffuse_peak = self._diffuse_pattern(frequencies_hz[used])
        self._lobes = lobes_of(array, self.bands_hz, LOBE_BANDS)
        self._floor = NoiseFloor(round(FLOOR_MEMORY_S / config.hop_s))
        self.own_noise = OwnNoise(array, frequencies_hz[used])
        self._learns_own_noise = config.own_noise == "learn"
        if config.own_noise not in ("off", "learn"):
            self._teach(
                read_recording(Path(config.own_noise), array, self._rate_hz), round(config.window_s * self._rate_hz)
            )

    def _teach(self, samples: NDArray[np.float32], window: int) -> None:
        """Take a recording [M, S] of own noise, window by window."""
        for start in range(0, max(1, samples.shape[1] - window + 1), window):
            self.own_noise.teach(self._spectra(samples[:, start : start + window]))

    def _lag_table(self) -> tuple[NDArray[np.int32], NDArray[np.float32], Array]:
        """For pair and direction [P, D]: lag grid cell and place in it; the grid's lags [L] in seconds."""
        delays_s = self._array.delays_for(self.directions)
        lags_s = (delays_s[:, self._pairs[:, 0]] - delays_s[:, self._pairs[:, 1]]).T
        step_s = 1.0 / (LAGS_PER_PERIOD * self.bands_hz[-1, 1])
        half = int(np.ceil(np.abs(lags_s).max() / step_s)) + 1
        place = lags_s / step_s + half
        index = np.floor(place).astype(np.int32)
        return index, (place - index).astype(np.float32), np.arange(-half, half + 1) * step_s

    def _diffuse_pattern(self, frequencies_hz: NDArray[np.floating[Any]]) -> tuple[Array, Array]:
        """What the map of a diffuse field, even over all directions, shows: [B, D] beyond its mean, and [B] its peak."""
        delays_s = self._array.delays_for(fibonacci_sphere(1000))
        lags_s = delays_s[:, self._pairs[:, 0]] - delays_s[:, self._pairs[:, 1]]
        coherence = [np.exp(-2j * np.pi * frequencies_hz * lag_s[:, None]).mean(axis=0) for lag_s in lags_s.T]
        bins = np.bincount(self._band_of_bin, minlength=BANDS)
        cross = (np.stack(coherence) / bins[self._band_of_bin]).astype(np.complex64)
        correlation = _correlations(cross, self._cos, self._sin, self._band_of_bin, BANDS)
        pair_sum = _steer(correlation, self._lag_index, self._lag_share).astype(float).T
        count = self._array.microphones
        pattern = (count + 2 * pair_sum) / count**2
        return pattern - pattern.mean(axis=1, keepdims=True), np.minimum(pattern.max(axis=1), 0.95)

    def __call__(self, window: AudioWindow, noise_only: bool = False) -> SoundEvidence:
        """The window's evidence; `window.samples` [M, S] needs this array's microphones.

        noise_only: nothing but the array's own noise is on, as a robot may know of its motors: the window teaches it.
        """
        if len(window.samples) != self._array.microphones:
            raise ArrayError(f"window of {len(window.samples)} channels: want the array's {self._array.microphones}")
        spectra = self._spectra(window.samples)
        if noise_only:
            self.own_noise.teach(spectra)
        elif self._learns_own_noise:
            self.own_noise.hear(spectra, window.T_map_array)
        noise_filter = self.own_noise.filter
        if noise_filter is not None:
            spectra = apply_filter(noise_filter.root, spectra)
        weights, level_activity = self._weights(spectra)
        energy, correlation = self._direction_map(spectra, weights, noise_filter)
        power = float(np.mean(np.square(window.samples, dtype=np.float64)))
        quiet = (1 - level_activity) * (1 - self._contrast_activity(energy, weights))
        return SoundEvidence(
            stamp_ns=window.stamp_ns,
            duration_s=window.samples.shape[1] / self._rate_hz,
            T_map_array=window.T_map_array,
            directions_array=self.directions,
            energy=energy,
            bands_hz=self.bands_hz,
            activity=0.0 if noise_only or _decibel(power) < SILENCE_DB else float(1 - quiet),
            level_db=_decibel(power),
            correlation=correlation,
            lag_step_s=self._lag_step_s,
            dimensions=self._dimensions,
            lobes=self._lobes,
        )

    def near_field(self, evidence: SoundEvidence, points_array: NDArray[np.floating[Any]]) -> Array:
        """[N] what the map would be at points [N, 3] in the array frame, whose waves are spheres: `near_field_energy`."""
        return near_field_energy(evidence, self._array, points_array)

    def _spectra(self, samples: NDArray[np.float32]) -> NDArray[np.complex64]:
        return frame_spectra(samples, self._taper, self._used)

    def _weights(self, spectra: NDArray[np.complex64]) -> tuple[NDArray[np.float32], float]:
        """Weight of each frame and bin [T, F], and how far the level stands above the floor, in [0, 1]."""
        least = np.float32(10 ** (SILENCE_DB / 10) * self._frame)
        power = _mean_power(spectra, least)  # [T, F]
        bin_power = power.mean(axis=0)
        band_power = np.bincount(self._band_of_bin, weights=bin_power, minlength=BANDS).astype(float)
        floor, band_floor = self._floor.update(bin_power, band_power)
        above_db = 10 * np.log10(power / floor)
        lines = _lines(bin_power)
        above_db = np.maximum(above_db * (1 - lines.max()), above_db - np.float32(NOISE_DB))
        clean = np.clip(above_db / np.float32(FULL_WEIGHT_DB), np.float32(MIN_WEIGHT), np.float32(1))
        clean = np.maximum(clean, lines * np.minimum(power / bin_power, np.float32(1)))
        rise_db = float(np.max(10 * np.log10(band_power / band_floor)))
        decay = np.float32(10 ** (-6 * self._frame / (2 * self._rate_hz) / ECHO_S))
        return clean * _onsets(power, decay), 1 / (1 + float(np.exp(-(rise_db - ACTIVE_DB) / ACTIVE_WIDTH_DB)))

    def _direction_map(
        self, spectra: NDArray[np.complex64], weights: NDArray[np.float32], noise_filter: NoiseFilter | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """[B, D] share of the weighted, whitened power that a beam in each direction keeps; 1 = a lone plane wave.

        The pattern of the diffuse part is taken out, its mean stays. That part is no more than what the best beam loses.
        Also returns the pairs' correlations [P, L], scaled such that the map changes by what their sum over pairs does.
        """
        whitened = _whitened(spectra, noise_filter)
        weights = weights / weights.sum()
        cross = _cross_spectra(whitened, weights, self._pairs)
        correlation = _correlations(cross, self._cos, self._sin, self._band_of_bin, BANDS)
        pair_sum = np.ascontiguousarray(_steer(correlation, self._lag_index, self._lag_share).T)  # [B, D]
        bin_share = weights.sum(axis=0)
        share = np.bincount(self._band_of_bin, weights=bin_share, minlength=BANDS)
        if noise_filter is None:
            own, kept = share * self._array.microphones, np.ones((BANDS, 1))
        else:
            bin_power = (weights * np.sum(whitened.real**2 + whitened.imag**2, axis=0)).sum(axis=0)
            own = np.bincount(self._band_of_bin, weights=bin_power, minlength=BANDS)
            kept = self._kept(noise_filter, bin_share / np.maximum(share, 1e-12)[self._band_of_bin])
        scale = 1 / (self._array.microphones**2 * kept)
        energy = (own[:, None] + 2 * pair_sum) * scale
        for band, pattern, peak, part in zip(energy, self._diffuse, self._diffuse_peak, share, strict=True):
            most = max(0.0, part - float(band.max())) / (1 - peak)
            band -= min(_share_of(pattern, band), most) * pattern
        return np.maximum(energy, 0).astype(np.float32), correlation @ (2 * scale.mean(axis=1)).astype(np.float32)

    def _kept(self, noise_filter: NoiseFilter, bin_share: Array) -> Array:
        """[B, D] share of a plane wave from each direction that the own noise's filter leaves; bin_share: [F]."""
        metric = noise_filter.metric
        cross = metric[:, self._pairs[:, 0], self._pairs[:, 1]].T * bin_share
        correlation = _correlations(cross.astype(np.complex64), self._cos, self._sin, self._band_of_bin, BANDS)
        pair_sum = _steer(correlation, self._lag_index, self._lag_share).T
        own = np.bincount(self._band_of_bin, weights=np.trace(metric, axis1=1, axis2=2).real * bin_share)
        return np.maximum((own[:, None] + 2 * pair_sum) / self._array.microphones, LEAST_KEPT)

    def _contrast_activity(self, energy: NDArray[np.float32], weights: NDArray[np.float32]) -> float:
        """How far the map's peak stands above its mean, against what independent noise in the microphones would do."""
        total = energy.sum(axis=0)
        count = self._array.microphones
        contrast = float(total.max() - total.mean()) / (1 - 1 / count)
        # Real part of a weighted mean of random phasors; frames that overlap by half count for two thirds.
        pair_std = np.sqrt(0.5 * 1.5 * np.sum(weights**2)) / np.sum(weights)
        noise = 2 * np.sqrt(len(self._pairs)) * pair_std / (count**2 - count)
        half = max(ACTIVE_CONTRAST, 6 * float(noise))
        return contrast**2 / (contrast**2 + half**2)


def frame_spectra(samples: NDArray[np.float32], taper: NDArray[np.float32], used: slice) -> NDArray[np.complex64]:
    """[M, T, F] spectra of samples [M, S] in frames of the taper's length, half over each other, at the used frequencies."""
    frame = len(taper)
    short = frame - samples.shape[1]
    if short > 0:
        samples = np.pad(samples, ((0, 0), (0, short)))
    frames = np.lib.stride_tricks.sliding_window_view(samples, frame, axis=1)[:, :: frame // 2]
    spectra = scipy.fft.rfft(frames * taper, axis=2, workers=1)[:, :, used]
    return np.ascontiguousarray(spectra, dtype=np.complex64)


def near_field_energy(evidence: SoundEvidence, array: ArrayGeometry, points_array: NDArray[np.floating[Any]]) -> Array:
    """[N] the direction map's total, as it would be at points [N, 3] in the array frame whose waves are spheres.

    The map's value in the nearest direction, changed by what the pairs' correlations change from the plane wave's lags
    to the sphere's. A source 0.3 m from a cube of 10 cm bends the delays by up to 40 microseconds. For evidence without
    correlations, and for ears on a head, it is the map's value.
    """
    points = np.asarray(points_array, dtype=float)
    directions = evidence.directions_array
    unit = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-6)
    nearest = np.concatenate(
        [np.argmax(part @ directions.T, axis=1) for part in np.array_split(unit, len(unit) // 500 + 1)]
    )
    energy = evidence.energy.sum(axis=0)[nearest].astype(float)
    if evidence.correlation is None or array.head is not None:
        return energy
    pairs = np.stack(np.triu_indices(array.microphones, 1), axis=1)
    arrival_s = np.linalg.norm(points[:, None] - array.microphones_m, axis=2) / SPEED_OF_SOUND_M_PER_S
    plane_s = array.delays_for(directions[nearest])
    sphere, plane = ((d[:, pairs[:, 0]] - d[:, pairs[:, 1]]) / evidence.lag_step_s for d in (arrival_s, plane_s))
    return energy - _at_lags(evidence.correlation, plane, 1) + _at_lags(evidence.correlation, sphere, 3)


def _at_lags(correlation: NDArray[np.float32], steps: Array, order: int) -> Array:
    """[N] sum over pairs of correlations [P, L] at lags [N, P] in steps from the middle of the grid.

    order: 1, linear as in the map; 3, cubic (Catmull & Rom 1974): between ranges a lag changes by less than a step, and
    linear interpolation draws the maximum to the grid.
    """
    last = correlation.shape[1] - 1
    place = np.clip(steps + last / 2, 0, last - 1e-6)
    index = place.astype(np.int64)
    share, pair = place - index, np.arange(len(correlation))
    at = [correlation[pair, np.clip(index + k, 0, last)] for k in range(-1, 3)]
    if order == 1:
        return np.sum((1 - share) * at[1] + share * at[2], axis=1)
    curve = 3 * (at[1] - at[2]) + at[3] - at[0]
    slope = 2 * at[0] - 5 * at[1] + 4 * at[2] - at[3]
    return np.sum(at[1] + 0.5 * share * (at[2] - at[0] + share * (slope + share * curve)), axis=1)


def _lines(bin_power: NDArray[np.float32]) -> NDArray[np.float32]:
    """[F] in [0, 1]: how far the mean power of a bin [F] stands above those around it. A tone that lasts is its own floor."""
    around = scipy.ndimage.median_filter(bin_power, LINE_BINS, mode="nearest")
    above_db = 10 * np.log10(bin_power / around)
    return np.clip((above_db - np.float32(LINE_DB)) / np.float32(FULL_WEIGHT_DB), np.float32(0), np.float32(1))


def _whitened(spectra: NDArray[np.complex64], noise_filter: NoiseFilter | None) -> NDArray[np.complex64]:
    """[M, T, F] phases of each microphone (PHAT); with a filter, x^ = N^-1 x / |N^-1/2 x| of spectra N^-1/2 x."""
    if noise_filter is None:
        return np.asarray(_phases(spectra))
    mean = np.sqrt(np.mean(spectra.real**2 + spectra.imag**2, axis=0))
    return apply_filter(noise_filter.root, (spectra / np.maximum(mean, np.float32(1e-12))).astype(np.complex64))


def _share_of(pattern: Array, values: Array) -> float:
    """How much of a pattern [D] is in values [D], in [0, 1]: its regression over the lowest values."""
    quiet = np.argpartition(values, round(DIFFUSE_SHARE * len(values)))[: round(DIFFUSE_SHARE * len(values))]
    offset = pattern[quiet] - pattern[quiet].mean()
    return float(np.clip(offset @ values[quiet] / max(float(offset @ offset), 1e-12), 0.0, 1.0))


def _dimensions(microphones_m: Array) -> int:
    """1 for microphones on a line, 2 in a plane, else 3: how many of their spreads are more than a fifth of the largest."""
    spreads = np.linalg.svd(microphones_m - microphones_m.mean(axis=0), compute_uv=False)
    return max(int(np.sum(spreads > 0.2 * spreads[0])), 1)


def _decibel(power: float) -> float:
    return 10 * float(np.log10(max(power, 1e-20)))


@njit(cache=True, nogil=True, error_model="numpy")
def _mean_power(spectra, least):  # type: ignore[no-untyped-def]
    """[T, F] mean over microphones of the power of spectra [M, T, F], and a little more."""
    count, frames, bins = spectra.shape
    power = np.zeros((frames, bins), dtype=np.float32)
    for i in range(count):
        for t in range(frames):
            for f in range(bins):
                x = spectra[i, t, f]
                power[t, f] += x.real * x.real + x.imag * x.imag
    for t in range(frames):
        for f in range(bins):
            power[t, f] = power[t, f] / np.float32(count) + least
    return power


@njit(cache=True, nogil=True, error_model="numpy")
def _onsets(power, decay):  # type: ignore[no-untyped-def]
    """[T, F] share of a bin's power [T, F] that the decay of earlier frames, by `decay` each, does not explain."""
    frames, bins = power.shape
    least, one = np.float32(LEAST_DIRECT), np.float32(1)
    share = np.empty_like(power)
    echo = power[0].copy()
    for t in range(frames):
        for f in range(bins):
            if t > 0:
                echo[f] = decay * max(echo[f], power[t - 1, f])
            share[t, f] = min(max(one - echo[f] / power[t, f], least), one)
    return share


@njit(cache=True, nogil=True, error_model="numpy")
def _phases(spectra):  # type: ignore[no-untyped-def]
    """[M, T, F] spectra over their moduli."""
    flat = spectra.reshape(-1)
    out = np.empty_like(flat)
    one, least = np.float32(1), np.float32(1e-24)
    for k in range(len(flat)):
        x = flat[k]
        scale = one / np.sqrt(max(x.real * x.real + x.imag * x.imag, least))
        out[k] = complex(x.real * scale, x.imag * scale)
    return out.reshape(spectra.shape)


@njit(cache=True, nogil=True)
def _cross_spectra(whitened, weights, pairs):  # type: ignore[no-untyped-def]
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
def _correlations(cross, cos, sin, band_of_bin, bands):  # type: ignore[no-untyped-def]
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
def _steer(correlation, index, share):  # type: ignore[no-untyped-def]
    """[D, B] sum over pairs of the correlation at each direction's lag, linear between lags; B = 4: a vector register."""
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
