"""Channel check of an array from a recording: dead, clipped, inverted and swapped channels, wrong sample rate.

Levels and waveforms show dead and clipped channels, the stamps a wrong rate. The other faults follow from the correlations
of the microphone pairs along the path (`wiring.py`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.errors import ArrayError
from echoseg_ros.geometry import PoseTrack
from echoseg_ros.io.bag import BagReader
from echoseg_ros.io.bag_writer import ARRAY_FILE
from echoseg_ros.sound.array.array_geometry import ArrayGeometry, load_array
from echoseg_ros.sound.channel_checks.channel_faults import (
    ArrayRecording,
    ChannelFault,
    common_rate_hz,
    microphone_fault,
)
from echoseg_ros.sound.channel_checks.pair_correlations import loud_pair_correlations
from echoseg_ros.sound.channel_checks.wiring import geometry_faults, inverted_microphones, polarity_faults
from echoseg_ros.types import AudioChunk, Float32Array, Float64Array, PoseData

# A channel is dead this far below the median level of the channels, or below the loudest less LOUDEST_DB if that is more.
DEAD_DB = 30.0
LOUDEST_DB = 10.0
# A channel is clipped if at least this many samples have its largest value ...
MIN_CLIPPED_SAMPLES = 12
# ... and more than this many times the number of samples one step below it.
MIN_CLIPPED_RATIO = 5
# Least largest value, in shares of full scale: below it the steps of the converter look like clipping.
MIN_CLIPPED_LEVEL = 0.01
# Least relative deviation of the stamps' rate that means another sample rate; a quartz deviates by 0.01 %.
MIN_RATE_DEVIATION = 0.005
# Least number of messages, and time that they span, for the rate of the stamps.
MIN_STAMPS = 10
MIN_STAMPS_S = 2.0
# Largest relative difference between the rates of audio_info and of the array file.
MAX_RATE_DIFFERENCE = 0.01


def check_bag_channels(bag: Path, array: ArrayGeometry | None = None) -> list[ChannelFault]:
    """The channel faults in a bag; empty without any.

    Without `array` the array.yaml in the bag's folder is used. Raises BagError, ArrayError or AudioFormatError where the bag
    cannot be used.
    """
    recording = read_array_recording(Path(bag))
    array_file = Path(bag) / ARRAY_FILE
    if array is None and not array_file.exists():
        raise ArrayError(f"{bag}: no array.yaml beside the bag; name an array")
    return check_channels(recording, array or load_array(str(array_file)))


def read_array_recording(bag: Path) -> ArrayRecording:
    """Audio and poses of a bag. Raises BagError, AudioFormatError, and ArrayError where there is no audio."""
    reader = BagReader(bag, require=("camera_info", "audio", "audio_info"))
    poses = PoseTrack(max_gap_s=0.5, keep_s=1e9)
    pieces: list[Float32Array] = []
    stamps: list[tuple[int, int]] = []
    count = 0
    for item in reader.messages():
        if isinstance(item, PoseData) and (poses.newest_ns is None or item.stamp_ns > poses.newest_ns):
            poses.add(item.stamp_ns, item.T_map_camera)
        elif isinstance(item, AudioChunk) and item.samples.ndim == 2:
            stamps.append((count, item.stamp_ns))
            pieces.append(item.samples)
            count += len(item.samples)
    if not pieces or reader.audio_format is None:
        raise ArrayError(f"{bag}: no audio that can be read")
    rate_hz = float(reader.audio_format.sample_rate_hz)
    return ArrayRecording(np.concatenate(pieces), stamps[0][1], rate_hz, poses if len(poses) else None, stamps)


def check_channels(recording: ArrayRecording, array: ArrayGeometry) -> list[ChannelFault]:
    """The faults of an array's channels. Raises ArrayError if the recording has too few channels."""
    array.check_channel_count(recording.samples.shape[1])
    rate_faults = _rate_faults(recording, array)
    samples = np.nan_to_num(recording.samples[:, array.channel_order])
    dead = _dead_microphones(samples * 10 ** (-array.gains_db / 20))
    working = [k for k in range(array.microphones) if k not in dead]
    clipped = [k for k in working if _is_clipped(samples[:, k])]
    faults = [
        *rate_faults,
        *(microphone_fault("dead", array, k, "is dead: its level is far below that of the others") for k in dead),
        *(microphone_fault("clipped", array, k, "is clipped: turn its gain down") for k in clipped),
    ]
    if len(working) < 2:
        return faults
    correlations = loud_pair_correlations(recording, array, samples, working)
    if correlations is None:
        return faults
    inverted = inverted_microphones(correlations)
    faults += polarity_faults(array, [working[k] for k in inverted], len(working))
    correlations = correlations.with_inverted(inverted)
    # A rate that the stamps show is not searched for again in the delays.
    stated_hz = recording.sample_rate_hz
    known_scale = next((f.actual_rate_hz / stated_hz for f in rate_faults if f.actual_rate_hz), 1.0)
    return faults + geometry_faults(correlations, array, working, stated_hz, known_scale)


def _rate_faults(recording: ArrayRecording, array: ArrayGeometry) -> list[ChannelFault]:
    """Faults of the stated sample rate against the array file and against the stamps."""
    stated_hz = recording.sample_rate_hz
    faults = []
    if abs(stated_hz - array.sample_rate_hz) > MAX_RATE_DIFFERENCE * array.sample_rate_hz:
        text = f"audio_info states {stated_hz:g} Hz, the array file {array.sample_rate_hz:g} Hz"
        faults.append(ChannelFault("sample_rate", (), text))
    if len(recording.stamps) < MIN_STAMPS:
        return faults
    numbers, stamps_ns = np.array(recording.stamps, dtype=float).T
    half = len(numbers) // 2
    times_s = (stamps_ns - stamps_ns[0]) / 1e9
    spans_s = times_s[half:] - times_s[: len(times_s) - half]
    rate_hz = float(np.median((numbers[half:] - numbers[: len(numbers) - half]) / np.maximum(spans_s, 1e-9)))
    if times_s[-1] > MIN_STAMPS_S and abs(rate_hz / stated_hz - 1) > MIN_RATE_DEVIATION:
        actual_hz = common_rate_hz(rate_hz)
        text = f"audio_info states {stated_hz:g} Hz, but by the stamps there are {rate_hz:.0f} samples per second"
        common = f": {actual_hz:g} Hz" if actual_hz != rate_hz else ""
        faults.append(ChannelFault("sample_rate", (), text + common, actual_hz))
    return faults


def _dead_microphones(samples: Float64Array) -> list[int]:
    """Microphones of samples [S, M] whose level is far below that of the others."""
    level_db = 20 * np.log10(np.maximum(samples.std(axis=0), 1e-9))
    reference_db = np.max([np.median(level_db), level_db.max() - LOUDEST_DB])
    return [int(k) for k in np.flatnonzero(level_db < reference_db - DEAD_DB)]


def _is_clipped(samples: NDArray[np.floating]) -> bool:
    """Whether samples [S] have flat tops: many at the largest value of either sign, where they should be rarest."""
    for signed in (samples, -samples):
        top = float(signed.max())
        step = max(1e-4 * top, 1.0 / 2**15)
        at_top = int((signed > top - 0.5 * step).sum())
        below = int((signed > top - 1.5 * step).sum()) - at_top
        if top > MIN_CLIPPED_LEVEL and at_top >= MIN_CLIPPED_SAMPLES and at_top > MIN_CLIPPED_RATIO * below:
            return True
    return False
