"""Evidence of one audio window: steered response power with phase transform (SRP-PHAT) by look-up.

GCC-PHAT of every microphone pair (Knapp & Carter 1976) is computed once per window on a common grid of lags. The direction
map adds, for each direction, the values of the pairs at the lags that a sound from there would have (DiBiase 2000).
Time-frequency bins are weighted, never gated: bins near the noise floor, and frames in the decay of earlier ones, have
less weight. The pattern of a diffuse field is subtracted, since reverberation looks like sound from above and below to a
flat array.
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
from echoseg_ros.sound.evidence.ego_noise import EgoNoise
from echoseg_ros.sound.evidence.gcc_phat import (
    correlations,
    cross_spectra,
    diffuse_coherence,
    frame_spectra,
    phase_transform,
    steered_sum,
)
from echoseg_ros.sound.evidence.lobes import bin_shares, lobe_table
from echoseg_ros.sound.evidence.noise_filter import NoiseFilter, apply_filter
from echoseg_ros.sound.evidence.noise_recording import read_noise_recording
from echoseg_ros.types import AudioWindow, Complex64Array, Float32Array, Float64Array, SoundEvidence

# Length of a frame: speech and most sounds keep their spectrum for this long, and reverberation comes later.
FRAME_S = 0.03
# Number of frequency bands, of equal ratio.
BANDS = 4
# Bands whose maps are compared with the lobes: in the lowest band the lobes of a small array are too wide.
LOBE_BANDS = (1, 2, 3)
# Lags per period of the highest frequency; linear interpolation between them errs by less than 1 %.
LAGS_PER_PERIOD = 20
# Contrast of the direction map, peak over mean (1 = a lone plane wave), at which a window is half active at any level.
ACTIVE_CONTRAST = 0.06
# Share of the directions, those of least energy, on which the diffuse part is measured: away from the sources.
DIFFUSE_SHARE = 0.7
# Largest peak of a diffuse pattern that the bound on the diffuse part reckons with.
MAX_DIFFUSE_PEAK = 0.95
# Least share of a plane wave that the noise filter is taken to leave, as a bound on the compensation for it.
MIN_TRANSMISSION = 0.1


class EvidenceExtractor:
    """Evidence of an array's windows, with tables made once and a noise floor that follows the windows.

    Raises ConfigError if no frequency lies between the limits, ArrayError if a window has another number of microphones.
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
            raise ConfigError(
                f"sound.low_hz = {config.low_hz:g}, high_hz = {high_hz:g}: want a range with at least {BANDS} frequencies "
                f"of the spectrum, which lie {frequencies_hz[1]:g} Hz apart"
            )
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
        self._lobes = lobe_table(array, self.bands_hz, LOBE_BANDS)
        self._lobe_shares = bin_shares(self._lobes.frequencies_hz, frequencies_hz[used].astype(float))
        self._weights = BinWeights(self._band_of_bin, self._frame, self._rate_hz, config.hop_s)
        self.ego_noise = EgoNoise(array, frequencies_hz[used])
        self._learns_ego_noise = config.ego_noise == "learn"
        if config.ego_noise not in ("off", "learn"):
            recording = read_noise_recording(Path(config.ego_noise), array, self._rate_hz)
            self._learn_recording(recording, round(config.window_s * self._rate_hz))

    def _learn_recording(self, samples: Float32Array, window: int) -> None:
        """Learns the ego noise from a recording [M, S] of it, window by window."""
        for start in range(0, max(1, samples.shape[1] - window + 1), window):
            self.ego_noise.learn_noise_only(self._spectra(samples[:, start : start + window]))

    def _lag_table(self) -> tuple[NDArray[np.int32], Float32Array, Float64Array]:
        """For pair and direction [P, D]: cell of the lag grid and place in it; and the grid's lags [L] in seconds."""
        delays_s = self._array.far_field_delays_s(self.directions)
        lags_s = (delays_s[:, self._pairs[:, 0]] - delays_s[:, self._pairs[:, 1]]).T
        step_s = 1.0 / (LAGS_PER_PERIOD * self.bands_hz[-1, 1])
        half = int(np.ceil(np.abs(lags_s).max() / step_s)) + 1
        place = lags_s / step_s + half
        index = np.floor(place).astype(np.int32)
        return index, (place - index).astype(np.float32), np.arange(-half, half + 1) * step_s

    def _diffuse_pattern(self, frequencies_hz: NDArray[np.floating[Any]]) -> tuple[Float64Array, Float64Array]:
        """Direction map of a diffuse field: [B, D] less its mean over directions, and [B] its peak."""
        delays_s = self._array.far_field_delays_s(fibonacci_sphere(1000))
        coherence = diffuse_coherence(delays_s, self._pairs, frequencies_hz)
        bins = np.bincount(self._band_of_bin, minlength=BANDS)
        cross = (coherence / bins[self._band_of_bin]).astype(np.complex64)
        correlation = correlations(cross, self._cos, self._sin, self._band_of_bin, BANDS)
        pair_sum = steered_sum(correlation, self._lag_index, self._lag_share).astype(float).T
        count = self._array.microphones
        pattern = (count + 2 * pair_sum) / count**2
        return pattern - pattern.mean(axis=1, keepdims=True), np.minimum(pattern.max(axis=1), MAX_DIFFUSE_PEAK)

    def __call__(self, window: AudioWindow, noise_only: bool = False) -> SoundEvidence:
        """The window's evidence. Updates the noise floor and, as `sound.ego_noise` says, the ego noise.

        window.samples: [M, S] for the microphones of this array; noise_only: the window holds nothing but ego noise, as the
        robot knows.
        """
        if len(window.samples) != self._array.microphones:
            raise ArrayError(f"window of {len(window.samples)} channels: want the array's {self._array.microphones}")
        spectra = self._spectra(window.samples)
        if noise_only:
            self.ego_noise.learn_noise_only(spectra)
        elif self._learns_ego_noise:
            self.ego_noise.learn_by_turning(spectra, window.T_map_array)
        noise_filter = self.ego_noise.filter
        if noise_filter is not None:
            spectra = apply_filter(noise_filter.root, spectra)
        weights, level_activity = self._weights.update(spectra)
        energy, correlation = self._direction_map(spectra, weights, noise_filter)
        power = float(np.mean(np.square(window.samples, dtype=np.float64)))
        inactivity = (1 - level_activity) * (1 - self._contrast_activity(energy, weights))
        return SoundEvidence(
            stamp_ns=window.stamp_ns,
            duration_s=window.samples.shape[1] / self._rate_hz,
            T_map_array=window.T_map_array,
            directions_array=self.directions,
            energy=energy,
            bands_hz=self.bands_hz,
            activity=0.0 if noise_only or _decibel(power) < SILENCE_DB else float(1 - inactivity),
            level_db=_decibel(power),
            correlation=correlation,
            lag_step_s=self._lag_step_s,
            microphones_m=self._array.microphones_m if self._array.head is None else None,
            dimensions=self._dimensions,
            lobes=self._lobes,
            spectrum=self._lobe_spectrum(weights),
        )

    def _spectra(self, samples: Float32Array) -> Complex64Array:
        return frame_spectra(samples, self._taper, self._used)

    def _direction_map(
        self, spectra: Complex64Array, weights: Float32Array, noise_filter: NoiseFilter | None
    ) -> tuple[Float32Array, Float32Array]:
        """(energy [B, D], correlations [P, L]) of spectra [M, T, F] with weights [T, F].

        energy: share of the weighted, whitened power that a beam in each direction keeps; 1 for a lone plane wave. The
        pattern of the diffuse part is subtracted, its mean stays; that part is at most what the best beam loses. The
        correlations are scaled so that a change of their sum over pairs is the change of the energy.
        """
        whitened = _whitened(spectra, noise_filter)
        weights = weights / weights.sum()
        cross = cross_spectra(whitened, weights, self._pairs)
        correlation = correlations(cross, self._cos, self._sin, self._band_of_bin, BANDS)
        pair_sum = np.ascontiguousarray(steered_sum(correlation, self._lag_index, self._lag_share).T)  # [B, D]
        bin_share = weights.sum(axis=0)
        band_share = np.bincount(self._band_of_bin, weights=bin_share, minlength=BANDS)
        if noise_filter is None:
            power, transmission = band_share * self._array.microphones, np.ones((BANDS, 1))
        else:
            bin_power = (weights * np.sum(whitened.real**2 + whitened.imag**2, axis=0)).sum(axis=0)
            power = np.bincount(self._band_of_bin, weights=bin_power, minlength=BANDS)
            share_in_band = bin_share / np.maximum(band_share, 1e-12)[self._band_of_bin]
            transmission = self._transmission(noise_filter, share_in_band)
        scale = 1 / (self._array.microphones**2 * transmission)
        energy = (power[:, None] + 2 * pair_sum) * scale
        for band, pattern, peak, share in zip(energy, self._diffuse, self._diffuse_peak, band_share, strict=True):
            most = max(0.0, share - float(band.max())) / (1 - peak)
            band -= min(_pattern_share(pattern, band), most) * pattern
        pairs: Float32Array = correlation @ (2 * scale.mean(axis=1)).astype(np.float32)
        return np.maximum(energy, 0).astype(np.float32), pairs

    def _lobe_spectrum(self, weights: Float32Array) -> Float32Array:
        """[B', K] share of each of the lobes' frequencies in the sound, sum 1 in each band; weights: [T, F] of the bins."""
        shares = np.tensordot(weights.sum(axis=0), self._lobe_shares, axes=1) + 1e-9  # for bands without a bin
        return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)

    def _transmission(self, noise_filter: NoiseFilter, bin_share: Float64Array) -> Float64Array:
        """[B, D] share of a plane wave from each direction that the noise filter leaves; bin_share: [F]."""
        metric = noise_filter.metric
        cross = metric[:, self._pairs[:, 0], self._pairs[:, 1]].T * bin_share
        correlation = correlations(cross.astype(np.complex64), self._cos, self._sin, self._band_of_bin, BANDS)
        pair_sum = steered_sum(correlation, self._lag_index, self._lag_share).T
        power = np.bincount(self._band_of_bin, weights=np.trace(metric, axis1=1, axis2=2).real * bin_share)
        transmission: Float64Array = (power[:, None] + 2 * pair_sum) / self._array.microphones
        return np.maximum(transmission, MIN_TRANSMISSION)

    def _contrast_activity(self, energy: Float32Array, weights: Float32Array) -> float:
        """Activity in [0, 1] by the contrast of the map, against that of independent noise in the microphones."""
        total = energy.sum(axis=0)
        count = self._array.microphones
        contrast = float(total.max() - total.mean()) / (1 - 1 / count)
        # Real part of a weighted mean of random phasors; frames that overlap by half count for two thirds.
        pair_std = np.sqrt(0.5 * 1.5 * np.sum(weights**2)) / np.sum(weights)
        noise = 2 * np.sqrt(len(self._pairs)) * pair_std / (count**2 - count)
        half = max(ACTIVE_CONTRAST, 6 * float(noise))
        return contrast**2 / (contrast**2 + half**2)


def _whitened(spectra: Complex64Array, noise_filter: NoiseFilter | None) -> Complex64Array:
    """[M, T, F] phases of each microphone (PHAT); with a filter, x^ = N^-1 x / |N^-1/2 x| of spectra N^-1/2 x."""
    whitened: Complex64Array
    if noise_filter is None:
        whitened = phase_transform(spectra)
        return whitened
    mean = np.sqrt(np.mean(spectra.real**2 + spectra.imag**2, axis=0))
    whitened = apply_filter(noise_filter.root, (spectra / np.maximum(mean, np.float32(1e-12))).astype(np.complex64))
    return whitened


def _pattern_share(pattern: Float64Array, values: Float64Array) -> float:
    """Share in [0, 1] of a pattern [D] in values [D]: the regression coefficient over the lowest values."""
    lowest = np.argpartition(values, round(DIFFUSE_SHARE * len(values)))[: round(DIFFUSE_SHARE * len(values))]
    offset = pattern[lowest] - pattern[lowest].mean()
    return float(np.clip(offset @ values[lowest] / max(float(offset @ offset), 1e-12), 0.0, 1.0))


def _dimensions(microphones_m: Float64Array) -> int:
    """1 for microphones [M, 3] on a line, 2 in a plane, else 3: the spreads that exceed a fifth of the largest."""
    spreads = np.linalg.svd(microphones_m - microphones_m.mean(axis=0), compute_uv=False)
    return max(int(np.sum(spreads > 0.2 * spreads[0])), 1)


def _decibel(power: float) -> float:
    return 10 * float(np.log10(max(power, 1e-20)))
