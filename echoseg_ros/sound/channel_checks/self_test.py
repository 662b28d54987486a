"""Self-test of an array from a recording: dead, clipped, inverted and swapped channels, and a wrong sample rate.

Levels and waveforms tell dead and clipped channels, the stamps a wrong rate. The rest comes from how the pairs of
microphones correlate along the way (`wiring.py`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.errors import ArrayError
from echoseg_ros.geometry import PoseTrack
from echoseg_ros.io.bag import BagReader
from echoseg_ros.sound.array.array_geometry import ArrayGeometry, load_array
from echoseg_ros.sound.channel_checks.findings import Finding, Recording, channel_finding, usual_rate_hz
from echoseg_ros.sound.channel_checks.wiring import geometry_findings, inverted_microphones, listen, polarity_findings
from echoseg_ros.types import AudioChunk, Float64Array, PoseData

# A channel this far below the middle one is dead.
DEAD_DB = 30.0
# So many samples at a channel's largest value, and so many times as many as just below it: clipped.
CLIPPED_SAMPLES, CLIPPED_PILE = 12, 5
CLIPPED_LEAST = 0.01  # of full scale; below it steps of the converter look alike
# Stamps that run further off the nominal rate than this mean another rate (a quartz is off by 0.01 %).
RATE_SHARE = 0.005


def self_test_bag(bag: Path, array: ArrayGeometry | None = None) -> list[Finding]:
    """What is wrong with the microphones of a bag; empty: nothing found.

    Without `array` the array.yaml beside the recording is taken. Raises BagError, ArrayError or AudioFormatError where
    the bag cannot be used at all.
    """
    recording = read_recording(Path(bag))
    beside = Path(bag) / "array.yaml"
    if array is None and not beside.exists():
        raise ArrayError(f"{bag}: no array.yaml beside the bag; name an array")
    return self_test(recording, array or load_array(str(beside)))


def read_recording(bag: Path) -> Recording:
    """Audio and poses of a bag. Raises BagError, AudioFormatError, and ArrayError where there is no audio."""
    reader = BagReader(bag, require=("camera_info", "audio", "audio_info"))
    poses = PoseTrack(max_gap_s=0.5, keep_s=1e9)
    pieces: list[NDArray[np.float32]] = []
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
    return Recording(np.concatenate(pieces), stamps[0][1], rate_hz, poses if len(poses) else None, stamps)


def self_test(recording: Recording, array: ArrayGeometry) -> list[Finding]:
    """What is wrong with an array's channels. Raises ArrayError if the recording has too few of them."""
    array.check_channels(recording.samples.shape[1])
    found = _rate_of_stamps(recording, array)
    samples = np.nan_to_num(recording.samples[:, array.channel_order])
    dead = _dead(samples * 10 ** (-array.gains_db / 20))
    found += [
        channel_finding("dead", array, k, "is dead: it hears next to nothing of what the others hear") for k in dead
    ]
    clipped = [k for k in range(array.microphones) if k not in dead and _is_clipped(samples[:, k])]
    found += [channel_finding("clipped", array, k, "is clipped: turn its gain down") for k in clipped]
    alive = [k for k in range(array.microphones) if k not in dead]
    if len(alive) < 2:
        return found
    heard = listen(recording, array, samples, alive)
    if heard is None:
        return found
    inverted = inverted_microphones(heard)
    found += polarity_findings(array, [alive[k] for k in inverted], len(alive))
    heard = heard.flipped(inverted)
    # What the stamps explain is not looked for again in the delays.
    known_scale = next((f.value / recording.sample_rate_hz for f in found if f.kind == "sample_rate" and f.value), 1.0)
    return found + geometry_findings(heard, array, alive, recording.sample_rate_hz, known_scale)


def _rate_of_stamps(recording: Recording, array: ArrayGeometry) -> list[Finding]:
    said_hz = recording.sample_rate_hz
    found = []
    if abs(said_hz - array.sample_rate_hz) > 0.01 * array.sample_rate_hz:
        text = f"audio_info says {said_hz:g} Hz, the array's description {array.sample_rate_hz:g} Hz"
        found.append(Finding("sample_rate", (), text))
    if len(recording.stamps) < 10:
        return found
    numbers, stamps_ns = np.array(recording.stamps, dtype=float).T
    half = len(numbers) // 2
    times_s = (stamps_ns - stamps_ns[0]) / 1e9
    spans_s = times_s[half:] - times_s[: len(times_s) - half]
    rate_hz = float(np.median((numbers[half:] - numbers[: len(numbers) - half]) / np.maximum(spans_s, 1e-9)))
    if times_s[-1] > 2.0 and abs(rate_hz / said_hz - 1) > RATE_SHARE:
        real_hz = usual_rate_hz(rate_hz)
        text = f"audio_info says {said_hz:g} Hz, but the stamps tell of {rate_hz:.0f} samples a second"
        found.append(Finding("sample_rate", (), text + (f": {real_hz:g} Hz" if real_hz != rate_hz else ""), real_hz))
    return found


def _dead(samples: Float64Array) -> list[int]:
    level_db = 20 * np.log10(np.maximum(samples.std(axis=0), 1e-9))
    return [int(k) for k in np.flatnonzero(level_db < np.max([np.median(level_db), level_db.max() - 10]) - DEAD_DB)]


def _is_clipped(samples: NDArray[np.floating]) -> bool:
    """Whether the waveform has flat tops: its largest values pile up, of either sign, where they should be the rarest."""
    for signed in (samples, -samples):
        top = float(signed.max())
        step = max(1e-4 * top, 1.0 / 2**15)
        at_top = int((signed > top - 0.5 * step).sum())
        below = int((signed > top - 1.5 * step).sum()) - at_top
        if top > CLIPPED_LEAST and at_top >= CLIPPED_SAMPLES and at_top > CLIPPED_PILE * below:
            return True
    return False
