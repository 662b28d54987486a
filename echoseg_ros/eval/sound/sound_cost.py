"""Computing time of the sound side at ten windows a second: process time over recorded time, in total and by part.

An array moves through a room that is mapped by 20,000 points while one object sounds; messages take the same calls as in
a running node. Only the last seconds count, in which the evidence memory is full.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from echoseg_ros.config import Config
from echoseg_ros.eval.sound.sound_rooms import SoundRoom, make_room
from echoseg_ros.geometry import PoseTrack, interpolate
from echoseg_ros.pipeline.pipeline import SoundBranch
from echoseg_ros.sound.array.array_geometry import ArrayGeometry, load_array
from echoseg_ros.sound.evidence.audio_stream import AudioStream
from echoseg_ros.sound.evidence.extractor import EvidenceExtractor
from echoseg_ros.sound.localisation.evidence_memory import EvidenceMemory
from echoseg_ros.types import AudioChunk, AudioFormat, AudioWindow, Float64Array, PoseData
from echoseg_sim.acoustics.array_audio import simulate_array
from echoseg_sim.acoustics.reverberation import Shoebox
from echoseg_sim.acoustics.sounds import load_sound
from echoseg_sim.acoustics.source_signal import SimulatedSource

# Audio windows a second.
WINDOWS_PER_S = 10
# Length of an audio chunk, seconds.
CHUNK_S = 0.1
# Poses a second.
POSES_PER_S = 10
# Reverberation time, seconds, and SNR, dB, of the room.
RT60_S = 0.4
SNR_DB = 20.0
SOUND = "builtin:speech"
# Windows whose parts are timed one by one.
_TIMED_WINDOWS = 100
# Stamp of the start of the recording.
_START_NS = 100_000_000_000

Message = PoseData | AudioChunk


def cost_row(seed: int, seconds: float, last_s: float) -> dict[str, Any]:
    """Share of one core and times a window in the last `last_s` of a recording of `seconds` with the array cube8.

    core_share: all work (framing, evidence, memory, self-calibration, decision, labels); evidence_core_share: evidence
    and back-projection alone; listen_ms: up to the evidence; judge_ms: from the evidence to the verdict; label_ms: labels;
    extract_ms: evidence of a window; back_project_ms: its back-projection to all points of the map.
    """
    array, room = load_array("cube8"), make_room(seed, int(seconds) + 2)
    config = Config().updated({"sound.hop_s": 1.0 / WINDOWS_PER_S})
    items = _messages(array, room, seed, seconds)
    branch = SoundBranch(config, array, clock=time.process_time)
    branch.hear(_format(array), room.snapshot)
    from_ns = _START_NS + round((seconds - last_s) * 1e9)
    for item in (item for item in items if item.stamp_ns < from_ns):
        branch.hear(item, room.snapshot)
    before = dict(branch.seconds)
    windows = sum(len(branch.hear(item, room.snapshot)) for item in items if item.stamp_ns >= from_ns)
    spent_s = {stage: branch.seconds[stage] - before[stage] for stage in before}
    extract_ms, back_project_ms = _parts_ms(config, array, room, items)
    per_window_ms = 1e3 / max(windows, 1)
    return {
        "core_share": sum(spent_s.values()) / last_s,
        "evidence_core_share": (extract_ms + back_project_ms) * WINDOWS_PER_S / 1e3,
        "windows": windows,
        "recorded_s": last_s,
        "map_points": len(room.snapshot.surface_points),
        "listen_ms": spent_s["sound"] * per_window_ms,
        "judge_ms": spent_s["decision"] * per_window_ms,
        "label_ms": spent_s["labelling"] * per_window_ms,
        "extract_ms": extract_ms,
        "back_project_ms": back_project_ms,
    }


def _messages(array: ArrayGeometry, room: SoundRoom, seed: int, seconds: float) -> list[Message]:
    """Poses of the camera and chunks of audio in order of time."""
    times_s = np.arange(round(seconds * POSES_PER_S) + 1) / POSES_PER_S
    poses = np.stack([_pose_at(room.poses, at_s) for at_s in times_s])
    sounding_object = int(np.random.default_rng([seed, 59]).integers(len(room.sound_positions_m)))
    sound = load_sound(SOUND, array.sample_rate_hz, seed)
    source = SimulatedSource("source", room.sound_positions_m[sounding_object], sound, ((0.0, seconds),))
    box = Shoebox(np.zeros(3), room.size_m)
    recorded = simulate_array(box, RT60_S, array, list(poses), times_s, [source], seconds, SNR_DB, seed)
    T_array_camera = np.linalg.inv(array.T_camera_array)
    items: list[Message] = [
        PoseData(_START_NS + round(at_s * 1e9), pose @ T_array_camera)
        for at_s, pose in zip(times_s, poses, strict=True)
    ]
    step = round(CHUNK_S * array.sample_rate_hz)
    items += [
        AudioChunk(_START_NS + round(start / array.sample_rate_hz * 1e9), recorded.samples[start : start + step])
        for start in range(0, len(recorded.samples), step)
    ]
    return sorted(items, key=lambda item: item.stamp_ns)


def _pose_at(poses: Float64Array, at_s: float) -> Float64Array:
    """[4, 4] pose at a time, interpolated between poses [P, 4, 4] of whole seconds."""
    second = min(int(at_s), len(poses) - 2)
    return interpolate(poses[second], poses[second + 1], at_s - second)


def _format(array: ArrayGeometry) -> AudioFormat:
    return AudioFormat(round(array.sample_rate_hz), array.channels, "S16LE", "WAVE")


def _parts_ms(config: Config, array: ArrayGeometry, room: SoundRoom, items: list[Message]) -> tuple[float, float]:
    """(process time of a window's evidence, of its back-projection to the map's points), means, ms."""
    windows = _windows(config, array, items)[-_TIMED_WINDOWS:]
    extract = EvidenceExtractor(array, array.sample_rate_hz, config.sound)
    memory = EvidenceMemory(config.sources.memory_s)
    memory.add(extract(windows[0]))
    start = time.process_time()
    evidence_windows = [extract(window) for window in windows]
    extracted = time.process_time()
    for evidence in evidence_windows:
        memory.add(evidence)
        memory.grouped_windows(memory.slots()[-1:], np.ones(1), 1.0).score(room.snapshot.surface_points)
    return 1e3 * (extracted - start) / len(windows), 1e3 * (time.process_time() - extracted) / len(windows)


def _windows(config: Config, array: ArrayGeometry, items: list[Message]) -> list[AudioWindow]:
    poses = PoseTrack(config.input.pose_max_gap_s)
    stream = AudioStream(array, _format(array), config.sound, config.input)
    windows: list[AudioWindow] = []
    for item in items:
        if isinstance(item, PoseData):
            poses.add(item.stamp_ns, item.T_map_camera)
        else:
            stream.add(item)
        windows += stream.take_windows(poses)
    return windows
