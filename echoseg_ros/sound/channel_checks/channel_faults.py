"""Input and results of the channel checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from echoseg_ros.geometry import PoseTrack
from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.types import Float32Array

# Sample rates of common audio hardware.
_COMMON_RATES_HZ = np.array([8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000, 192000], dtype=float)
# Largest relative difference at which an estimated rate is taken for a common one.
_MAX_RATE_DIFFERENCE = 0.04


@dataclass(frozen=True)
class ChannelFault:
    """A fault of an array's channels.

    kind: dead, clipped, inverted, swapped or sample_rate; channels: the audio channels concerned, counted from 0; text: one
    line for people; actual_rate_hz: the estimated sample rate where the stated one is wrong.
    """

    kind: str
    channels: tuple[int, ...]
    text: str
    actual_rate_hz: float | None = None

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class ArrayRecording:
    """Audio of an array, with poses, as the checks need it.

    samples: [S, channels]; first_ns: time of the first sample; sample_rate_hz: as audio_info states it; poses: the
    camera's track, None without one; stamps: (number of the first sample, stamp in ns) of each message.
    """

    samples: Float32Array
    first_ns: int
    sample_rate_hz: float
    poses: PoseTrack | None = None
    stamps: Sequence[tuple[int, int]] = ()


def microphone_fault(kind: str, array: ArrayGeometry, microphone: int, predicate: str) -> ChannelFault:
    """A fault of one microphone; the text is its channel followed by `predicate`."""
    channel = int(array.channel_order[microphone])
    return ChannelFault(kind, (channel,), f"channel {channel} {predicate}")


def common_rate_hz(rate_hz: float) -> float:
    """The common sample rate within 4 %, else the rate itself."""
    nearest = float(_COMMON_RATES_HZ[np.argmin(np.abs(np.log(_COMMON_RATES_HZ / rate_hz)))])
    return nearest if abs(rate_hz / nearest - 1) < _MAX_RATE_DIFFERENCE else rate_hz
