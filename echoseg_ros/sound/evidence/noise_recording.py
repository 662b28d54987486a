"""Recordings of the ego noise alone, the files that `sound.ego_noise` may name."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io.wavfile
from numpy.typing import NDArray

from echoseg_ros.errors import ConfigError
from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.types import Float32Array, Float64Array


def read_noise_recording(path: Path, array: ArrayGeometry, sample_rate_hz: float) -> Float32Array:
    """[M, S] samples of a WAV file, or of an npz with `samples` [S, channels] and `sample_rate_hz`.

    Channel order and gains of the array are applied. Raises ConfigError if the file cannot be read or does not fit.
    """
    samples, rate_hz = _read(path)
    if abs(rate_hz - sample_rate_hz) > 0.01 * sample_rate_hz:
        raise ConfigError(f"sound.ego_noise = {str(path)!r} is at {rate_hz:g} Hz: want {sample_rate_hz:g} Hz")
    if samples.ndim != 2 or samples.shape[1] < array.channels or not np.isfinite(samples).all():
        raise ConfigError(
            f"sound.ego_noise = {str(path)!r} holds samples {list(samples.shape)}: want finite [S, {array.channels}]"
        )
    gains = (10.0 ** (-array.gains_db / 20.0)).astype(np.float32)
    return np.ascontiguousarray((samples[:, array.channel_order].astype(np.float32) * gains).T)


def _read(path: Path) -> tuple[NDArray[Any], float]:
    try:
        if path.suffix == ".npz":
            content = np.load(path)
            return content["samples"], float(content["sample_rate_hz"])
        return _read_wav(path)
    except (OSError, KeyError, ValueError) as error:
        raise ConfigError(
            f"sound.ego_noise = {str(path)!r}: want off, learn, or a WAV or npz file ({error})"
        ) from error


def _read_wav(path: Path) -> tuple[Float64Array, float]:
    """Samples [S, channels] in [-1, 1) of a PCM or float WAV file, and its rate in Hz. Raises ValueError, OSError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", scipy.io.wavfile.WavFileWarning)  # chunks that hold no samples
        rate_hz, stored = scipy.io.wavfile.read(path)
    samples = np.asarray(stored, dtype=np.float64).reshape(len(stored), -1)
    if stored.dtype == np.uint8:  # WAV stores 8 bits without sign
        samples = (samples - 128.0) / 128.0
    elif stored.dtype.kind == "i":
        samples = samples / (np.iinfo(stored.dtype).max + 1.0)
    return samples, float(rate_hz)
