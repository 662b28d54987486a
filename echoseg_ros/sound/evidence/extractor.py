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
import scipy.signal
from numpy.typing import NDArray

from echoseg_ros.config import SoundConfig
from echoseg_ros.errors import ArrayError, ConfigError
from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.sound.array.directions import fibonacci_sphere
from echoseg_ros.sound.evidence.bin_weights import SILENCE_DB, BinWeights
from echoseg_ros.sound.evidence.ego_noise import EgoNoise, NoiseFilter, apply_filter, read_recording
from echoseg_ros.sound.evidence.gcc_phat import correlations, cross_spectra, frame_spectra, phases, steer
from echoseg_ros.sound.evidence.lobes import lobes_of, shares_of_bins
from echoseg_ros.types import AudioWindow, Float64Array, SoundEvidence

# Speech and most sounds hold their spectrum for about this long; reverberation comes later.
FRAME_S = 0.03
BANDS = 4
# Bands whose maps are compared with the lobes of sounds: in the lowest the lobes of a small array are too wide.
LOBE_BANDS = (1, 2, 3)
# Lags per period of the highest frequency: linear interpolation between them errs by less than 1 %.
LAGS_PER_PERIOD = 20
# Peak over mean of the direction map (1 = a lone plane wave) that makes a window half active whatever its level;
# microphone noise alone reaches about 0.01, a source in a live room 0.1 to 0.4.
ACTIVE_CONTRAST = 0.06
# The share of the directions, the quietest ones, on which the diffuse part is measured: away from the sources.
DIFFUSE_SHARE = 0.7
# Directions in which the own noise's filter leaves less of a plane wave are not raised by more than the inverse of this.
LEAST_KEPT = 0.1


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
        self._lobe_shares = shares_of_bins(self._lobes.frequencies_hz, frequencies_hz[used].astype(float))
        self._weights = BinWeights(self._band_of_bin, self._frame, self._rate_hz, config.hop_s)
        self.ego_noise = EgoNoise(array, frequencies_hz[used])
        self._learns_ego_noise = config.ego_noise == "learn"
        if config.ego_noise not in ("off", "learn"):
            self._teach(
                read_recording(Path(config.ego_noise), array, self._rate_hz), round(config.window_s * self._rate_hz)
            )

    def _teach(self, samples: NDArray[np.float32], window: int) -> None:
        """Take a recording [M, S] of own noise, window by window."""
        for start in range(0, max(1, samples.shape[1] - window + 1), window):
            self.ego_noise.teach(self._spectra(samples[:, start : start + window]))

    def _lag_table(self) -> tuple[NDArray[np.int32], NDArray[np.float32], Float64Array]:
        """For pair and direction [P, D]: lag grid cell and place in it; the grid's lags [L] in seconds."""
        delays_s = self._array.delays_for(self.directions)
        lags_s = (delays_s[:, self._pairs[:, 0]] - delays_s[:, self._pairs[:, 1]]).T
        step_s = 1.0 / (LAGS_PER_PERIOD * self.bands_hz[-1, 1])
        half = int(np.ceil(np.abs(lags_s).max() / step_s)) + 1
        place = lags_s / step_s + half
        index = np.floor(place).astype(np.int32)
        return index, (place - index).astype(np.float32), np.arange(-half, half + 1) * step_s

    def _diffuse_pattern(self, frequencies_hz: NDArray[np.floating[Any]]) -> tuple[Float64Array, Float64Array]:
        """What the map of a diffuse field, even over all directions, shows: [B, D] beyond its mean, and [B] its peak."""
        delays_s = self._array.delays_for(fibonacci_sphere(1000))
        lags_s = delays_s[:, self._pairs[:, 0]] - delays_s[:, self._pairs[:, 1]]
        coherence = [np.exp(-2j * np.pi * frequencies_hz * lag_s[:, None]).mean(axis=0) for lag_s in lags_s.T]
        bins = np.bincount(self._band_of_bin, minlength=BANDS)
        cross = (np.stack(coherence) / bins[self._band_of_bin]).astype(np.complex64)
        correlation = correlations(cross, self._cos, self._sin, self._band_of_bin, BANDS)
        pair_sum = steer(correlation, self._lag_index, self._lag_share).astype(float).T
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
            self.ego_noise.teach(spectra)
        elif self._learns_ego_noise:
            self.ego_noise.hear(spectra, window.T_map_array)
        noise_filter = self.ego_noise.filter
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
            microphones_m=self._array.microphones_m if self._array.head is None else None,
            dimensions=self._dimensions,
            lobes=self._lobes,
            spectrum=self._spectrum(weights),
        )

    def _spectra(self, samples: NDArray[np.float32]) -> NDArray[np.complex64]:
        return frame_spectra(samples, self._taper, self._used)

    def _direction_map(
        self, spectra: NDArray[np.complex64], weights: NDArray[np.float32], noise_filter: NoiseFilter | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """[B, D] share of the weighted, whitened power that a beam in each direction keeps; 1 = a lone plane wave.

        The pattern of the diffuse part is taken out, its mean stays. That part is no more than what the best beam loses.
        Also returns the pairs' correlations [P, L], scaled such that the map changes by what their sum over pairs does.
        """
        whitened = _whitened(spectra, noise_filter)
        weights = weights / weights.sum()
        cross = cross_spectra(whitened, weights, self._pairs)
        correlation = correlations(cross, self._cos, self._sin, self._band_of_bin, BANDS)
        pair_sum = np.ascontiguousarray(steer(correlation, self._lag_index, self._lag_share).T)  # [B, D]
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

    def _spectrum(self, weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """[B, K] what sounds at the frequencies of the lobes, sum 1 in each of their bands; weights: [T, F] of the bins."""
        shares = np.tensordot(weights.sum(axis=0), self._lobe_shares, axes=1) + 1e-9  # even where a band has no bin
        return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)

    def _kept(self, noise_filter: NoiseFilter, bin_share: Float64Array) -> Float64Array:
        """[B, D] share of a plane wave from each direction that the own noise's filter leaves; bin_share: [F]."""
        metric = noise_filter.metric
        cross = metric[:, self._pairs[:, 0], self._pairs[:, 1]].T * bin_share
        correlation = correlations(cross.astype(np.complex64), self._cos, self._sin, self._band_of_bin, BANDS)
        pair_sum = steer(correlation, self._lag_index, self._lag_share).T
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


def _whitened(spectra: NDArray[np.complex64], noise_filter: NoiseFilter | None) -> NDArray[np.complex64]:
    """[M, T, F] phases of each microphone (PHAT); with a filter, x^ = N^-1 x / |N^-1/2 x| of spectra N^-1/2 x."""
    if noise_filter is None:
        return np.asarray(phases(spectra))
    mean = np.sqrt(np.mean(spectra.real**2 + spectra.imag**2, axis=0))
    return apply_filter(noise_filter.root, (spectra / np.maximum(mean, np.float32(1e-12))).astype(np.complex64))


def _share_of(pattern: Float64Array, values: Float64Array) -> float:
    """How much of a pattern [D] is in values [D], in [0, 1]: its regression over the lowest values."""
    quiet = np.argpartition(values, round(DIFFUSE_SHARE * len(values)))[: round(DIFFUSE_SHARE * len(values))]
    offset = pattern[quiet] - pattern[quiet].mean()
    return float(np.clip(offset @ values[quiet] / max(float(offset @ offset), 1e-12), 0.0, 1.0))


def _dimensions(microphones_m: Float64Array) -> int:
    """1 for microphones on a line, 2 in a plane, else 3: how many of their spreads are more than a fifth of the largest."""
    spreads = np.linalg.svd(microphones_m - microphones_m.mean(axis=0), compute_uv=False)
    return max(int(np.sum(spreads > 0.2 * spreads[0])), 1)


def _decibel(power: float) -> float:
    return 10 * float(np.log10(max(power, 1e-20)))
