"""Ego noise is learned from noise alone or by turning, never from a source in front of a standing robot."""

from __future__ import annotations

import numpy as np
import pytest
from waves import cube, delayed, plane_wave, simulated_window

from echoseg_ros.config import Config, SoundConfig
from echoseg_ros.geometry import transform
from echoseg_ros.pipeline.sound_stage import SoundStage
from echoseg_ros.sound.array.array_geometry import SPEED_OF_SOUND_M_PER_S
from echoseg_ros.sound.array.directions import peak_direction
from echoseg_ros.sound.evidence.ego_noise import static_directions
from echoseg_ros.sound.evidence.extractor import EvidenceExtractor
from echoseg_ros.types import AudioChunk, AudioFormat, AudioWindow, Float64Array, NoiseOnly, PoseData, SoundEvidence

RATE_HZ = 16000
FAN_M, OTHER_FAN_M = np.array([-0.1, 0.05, -0.25]), np.array([0.2, -0.1, -0.2])
SOURCE_M = np.array([4.0, 3.5, 1.3])


def extractor(ego_noise: str = "learn") -> EvidenceExtractor:
    return EvidenceExtractor(cube(), RATE_HZ, SoundConfig(ego_noise=ego_noise))


def fan(rng: np.random.Generator, place_m: Float64Array = FAN_M, level: float = 0.05) -> Float64Array:
    """[M, S] half a second of noise from a place near the array."""
    distances_m = np.linalg.norm(cube().microphones_m - place_m, axis=1)
    waves = delayed(rng.standard_normal(RATE_HZ // 2), distances_m / SPEED_OF_SOUND_M_PER_S, RATE_HZ)
    noise: Float64Array = level * waves / distances_m[:, None] * distances_m.mean()
    return noise


def window(
    rng: np.random.Generator,
    pose: Float64Array,
    noise: Float64Array | float = 0.0,
    source_m: Float64Array | None = SOURCE_M,
) -> AudioWindow:
    clean = simulated_window(cube(), pose, source_m, rng)
    return AudioWindow(0, (clean.samples + noise).astype(np.float32), RATE_HZ, pose)


def turning(
    steps: int, turn_rad: float = 5.0, at_m: tuple[float, float, float] = (2.5, 2.0, 0.8)
) -> list[Float64Array]:
    """Poses of a robot that turns on the spot."""
    angles = np.linspace(0.0, turn_rad, steps)
    return [transform(np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1.0]]), np.array(at_m))
            for a in angles]  # fmt: skip


def errors_deg(
    extract: EvidenceExtractor, windows: list[AudioWindow], source_m: Float64Array = SOURCE_M
) -> Float64Array:
    errors = []
    for audio in windows:
        to_source = audio.T_map_array[:3, :3].T @ (source_m - audio.T_map_array[:3, 3])
        cosine = peak_direction(extract(audio)) @ to_source / np.linalg.norm(to_source)
        errors.append(np.degrees(np.arccos(min(1.0, cosine))))
    return np.array(errors)


def test_a_fan_10_db_above_the_source_is_removed_after_noise_only_windows() -> None:
    rng = np.random.default_rng(0)
    windows = [window(rng, pose, fan(rng)) for pose in turning(10)]  # the source arrives with 0.05 / 2.2
    assert np.median(errors_deg(extractor("off"), windows)) > 45
    extract = extractor("off")
    for _ in range(2):
        assert extract(window(rng, np.eye(4), fan(rng), None), noise_only=True).activity == 0.0
    assert errors_deg(extract, windows).max() < 3.0


def test_a_turning_robot_learns_its_fan_while_a_source_sounds() -> None:
    rng, extract = np.random.default_rng(1), extractor()
    for pose in turning(12):
        extract(window(rng, pose, fan(rng)))
    assert extract.ego_noise.filter is not None
    assert errors_deg(extract, [window(rng, pose, fan(rng)) for pose in turning(10)]).max() < 3.0


def test_a_source_in_front_of_a_standing_robot_is_never_learned() -> None:
    """Without a turn nothing shows that a sound moves with the array, however long it lasts."""
    rng, extract = np.random.default_rng(2), extractor()
    pose = transform(np.eye(3), np.array([2.5, 2.0, 0.8]))
    errors = errors_deg(extract, [window(rng, pose) for _ in range(60)])
    assert extract.ego_noise.filter is None
    assert errors.max() < 3.0


@pytest.mark.parametrize("source_m", [SOURCE_M, np.array([2.5, 2.0, 2.4])])  # beside the robot; straight overhead
def test_a_source_in_the_room_is_kept_while_the_robot_turns(source_m: Float64Array) -> None:
    rng, extract, plain = np.random.default_rng(3), extractor(), extractor("off")
    for pose in turning(12):
        extract(window(rng, pose, source_m=source_m))
    windows = [window(rng, pose, source_m=source_m) for pose in turning(8)]
    assert errors_deg(extract, windows, source_m).max() < 3.0
    peaks = [[e(w).energy.sum(axis=0).max() for w in windows] for e in (extract, plain)]
    assert np.divide(peaks[0], peaks[1]).min() > 0.8


def test_a_swing_of_60_degrees_is_too_small_a_turn() -> None:
    """Over 60 degrees a source ahead stays ahead: nothing may be learned."""
    assert static_directions(np.stack(turning(6, np.pi / 3))) is None
    static = static_directions(np.stack(turning(8, 5.5)))
    assert static is not None
    assert static[:, 2].min() > 0.7  # overhead only
    driven = [transform(T[:3, :3], T[:3, 3] + [0, 1.5 * k, 0]) for k, T in enumerate(turning(8, 5.5))]
    static_while_driving = static_directions(np.stack(driven))
    assert static_while_driving is not None
    assert len(static_while_driving) < 0.3 * len(static)


def test_a_lone_plane_wave_keeps_its_energy_through_the_filter() -> None:
    rng, extract = np.random.default_rng(4), extractor("off")
    extract(window(rng, np.eye(4), fan(rng), None), noise_only=True)
    for direction in np.array([[0.6, 0.0, 0.8], [0.0, 1.0, 0.0], [-0.48, 0.6, 0.64]]):
        evidence = extract(plane_wave(cube(), direction, rng))
        assert evidence.energy.sum(axis=0).max() == pytest.approx(1.0, abs=0.06)
        assert peak_direction(evidence) @ direction > np.cos(np.radians(1.0))


def test_a_change_of_the_noise_is_followed() -> None:
    rng, extract = np.random.default_rng(5), extractor("off")
    windows = [window(rng, pose, fan(rng, OTHER_FAN_M)) for pose in turning(6)]
    extract(window(rng, np.eye(4), fan(rng), None), noise_only=True)
    assert np.median(errors_deg(extract, windows)) > 30
    for _ in range(20):
        extract(window(rng, np.eye(4), fan(rng, OTHER_FAN_M), None), noise_only=True)
    assert errors_deg(extract, windows).max() < 3.0


def test_only_windows_wholly_within_noise_only_are_learned_from() -> None:
    """noise_only arrives between two audio messages: a window that began before it may hold other sounds."""
    side, rng = SoundStage(Config(), cube()), np.random.default_rng(0)
    side.add(AudioFormat(RATE_HZ, 8, "S16LE", "WAVE"))
    calls: list[tuple[int, bool]] = []
    extract = side._extract

    def spy(audio: AudioWindow, noise_only: bool = False) -> SoundEvidence:
        calls.append((audio.stamp_ns, noise_only))
        return extract(audio, noise_only)

    side._extract = spy  # type: ignore[assignment]
    for tenth in range(60):
        at_ns = tenth * 100_000_000
        side.add(PoseData(at_ns, np.eye(4)))
        side.add(AudioChunk(at_ns, 0.01 * rng.standard_normal((RATE_HZ // 10, 8)).astype(np.float32)))
        if tenth in (19, 39):
            side.add(NoiseOnly(on=tenth == 19))
    inside = [stamp_ns for stamp_ns, noise_only in calls if noise_only]
    assert min(inside) >= 2_250_000_000 and max(inside) <= 4_000_000_000 and len(inside) >= 6
    outside = [noise_only for stamp_ns, noise_only in calls if not 2_200_000_000 <= stamp_ns <= 4_300_000_000]
    assert len(outside) > 10 and not any(outside)
