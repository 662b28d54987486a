"""Cases of `echoseg bench sound`: the grid of conditions, and one run of a case."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from echoseg_ros.config import Config
from echoseg_ros.eval.sound.sound_calibration import SOUNDS as CALIBRATION_SOUNDS
from echoseg_ros.eval.sound.sound_calibration import calibration_rows
from echoseg_ros.eval.sound.sound_cost import cost_row
from echoseg_ros.eval.sound.sound_rooms import OBJECT_COUNT
from echoseg_ros.eval.sound.sound_scenes import BINAURAL_POSES, OFF_MAP, POSES, SoundCase, SoundScene, make_scene
from echoseg_ros.eval.sound.sound_scoring import RunRow, score_run

NOISE = "builtin:noise"
SPEECH = "builtin:speech"
TONE = "builtin:tone"
# Sounds of sources that sound together, in turn.
MIXED_SOUNDS = (SPEECH, NOISE, "builtin:knock", "builtin:pink")
# Kinds of cases in which no object of the map sounds.
FALSE_ALARMS = ("silence", "diffuse", "off_map")
# Poses of a run of those cases, one a second.
FALSE_ALARM_POSES = 120
# Poses of a run in which the sound moves to another object after half of them.
MOVED_POSES = 60
# Lowest seed of the benchmark's rooms; constants were set in other rooms.
FIRST_ROOM = 100
# Offset between the draws of a room with several sources, so that the draws share no object.
DRAW_STRIDE = 3
# Poses in the ego-noise cases before the sources begin, during which only the robot sounds.
EGO_NOISE_LEAD_S = 3
# SNR of cases without an own one, dB.
DEFAULT_SNR_DB = 20.0
# Level of diffuse noise over the noise of the microphones, dB.
DIFFUSE_DB = 20.0


@dataclass(frozen=True)
class BenchSettings:
    """Extent of the benchmark.

    rooms: number of rooms by array, seeds from FIRST_ROOM on; draws: runs in each room, each with other sounding objects;
    poses: poses of a run, 0 = those of the case; baseline_rooms, baseline_windows: rooms and windows a run for the slow
    baselines; calibration_runs: runs of a calibration case; cost_seconds: length of the recording whose cost is measured;
    cost_last_s: only its last seconds count.
    """

    rooms: dict[str, int] = field(default_factory=lambda: {"cube8": 10, "square4": 10, "binaural": 10})
    draws: dict[str, int] = field(default_factory=lambda: {"cube8": 2, "square4": 2, "binaural": 2})
    poses: int = 0
    baseline_rooms: int = 2
    baseline_windows: int = 6
    calibration_runs: int = 8
    cost_seconds: float = 60.0
    cost_last_s: float = 20.0


@dataclass(frozen=True)
class BenchCase:
    """One condition of the grid.

    name: array/kind/...; kind: single, blocked (no direct path), several, moved (the sound moves to another object),
    own_noise, silence, diffuse, off_map, calibration (a recording with a wrong clock and yaw), cost (computing time);
    snr_db: None where no source sounds; sounds: taken in turn by the sources of the runs; sound: their name in tables;
    sources: number of sources; fans: sources of ego noise; runs: (seed of the room, number of the draw).
    """

    name: str
    array: str
    kind: str
    rt60_s: float
    snr_db: float | None = None
    sounds: tuple[str, ...] = ()
    sound: str = ""
    sources: int = 1
    fans: int = 0
    runs: tuple[tuple[int, int], ...] = ()

    @property
    def poses(self) -> int:
        """Poses of a run, one a second."""
        if self.kind in FALSE_ALARMS:
            return FALSE_ALARM_POSES
        if self.kind == "moved":
            return MOVED_POSES
        return BINAURAL_POSES if self.array == "binaural" else POSES

    def has_baselines(self, room: int, draw: int, settings: BenchSettings) -> bool:
        """Whether a run includes the baselines; the louder side of two ears takes no time and is always included."""
        if self.kind != "single":
            return False
        return self.array == "binaural" or (room < FIRST_ROOM + settings.baseline_rooms and draw == 0)


def all_cases(settings: BenchSettings, clips: Sequence[str]) -> list[BenchCase]:
    """The whole grid. clips: files of recorded sounds; without any, cases with them are left out."""
    make = functools.partial(_case, settings)
    sounds = [("noise", (NOISE,)), ("speech", (SPEECH,))]
    cases = [make("cube8", "single", rt, snr, sound, files)
             for rt in (0.2, 0.4, 0.7) for snr in (20.0, 10.0, 0.0) for sound, files in sounds]  # fmt: skip
    cases += [make("cube8", "single", rt, 20.0, "tones", (TONE,)) for rt in (0.2, 0.4)]
    cases += [make("cube8", "single", 0.4, snr, "clips", tuple(clips)) for snr in (20.0, 10.0) if clips]
    cases += [make("square4", "single", rt, snr, sound, files)
              for rt in (0.2, 0.4) for snr in (20.0, 10.0) for sound, files in sounds]  # fmt: skip
    cases += [make("binaural", "single", rt, 20.0, sound, files) for rt in (0.2, 0.4) for sound, files in sounds]
    cases += [make("binaural", "single", 0.4, 10.0, "speech", (SPEECH,))]
    cases += [make("cube8", "several", rt, 20.0, "mixed", MIXED_SOUNDS, n) for n in (2, 3) for rt in (0.2, 0.4)]
    cases += [
        make("cube8", "own_noise", 0.4, 20.0, sound, files, 1, fans) for fans in (1, 2) for sound, files in sounds
    ]
    cases += [make("cube8", "blocked", 0.4, 20.0, sound, files) for sound, files in sounds]
    for array in ("cube8", "square4"):
        cases += [make(array, "moved", 0.4, 20.0, sound, files, 2) for sound, files in sounds]
        cases += [make(array, "silence", 0.4, None, "", (), 0), make(array, "diffuse", 0.4, None, "", (), 0)]
        cases += [make(array, "off_map", 0.4, 20.0, sound, files) for sound, files in sounds]
        cases += [make(array, "calibration", 0.4, 20.0, "mixed", CALIBRATION_SOUNDS)]
    return [*cases, make("cube8", "cost", 0.4, 20.0, "speech", (SPEECH,))]


def _case(
    settings: BenchSettings, array: str, kind: str, rt60_s: float, snr_db: float | None, sound: str,
    sounds: tuple[str, ...], sources: int = 1, fans: int = 0,
) -> BenchCase:  # fmt: skip
    parts = [array, f"{kind}{sources}" if kind == "several" else f"{kind}{fans}" if fans else kind, f"rt{rt60_s:g}"]
    parts += [] if snr_db is None else [f"snr{snr_db:g}", sound]
    rooms, draws = settings.rooms[array], settings.draws[array]
    if kind in FALSE_ALARMS:  # no object sounds: draws of one room would be equal
        rooms, draws = rooms * draws, 1
    if kind in ("calibration", "cost"):
        rooms, draws = (settings.calibration_runs if kind == "calibration" else 1), 1
    runs = tuple((FIRST_ROOM + room, draw) for room in range(rooms) for draw in range(draws))
    return BenchCase("/".join(parts), array, kind, rt60_s, snr_db, sounds, sound, sources, fans, runs)


def run_case(case: BenchCase, room: int, draw: int, settings: BenchSettings, cache: Path) -> RunRow:
    """Row of one run: scores and seeds. cache: folder of impulse responses."""
    if case.kind == "calibration":
        return {"room": room, "draw": draw, **calibration_rows([room], [case.array])[0]}
    if case.kind == "cost":
        return {"room": room, "draw": draw, **cost_row(room, settings.cost_seconds, settings.cost_last_s)}
    poses = settings.poses or case.poses
    scene = make_scene(room, case.array, case.rt60_s, cache, poses)
    sounds = sound_case(case, room, draw, poses)
    baselines = settings.baseline_windows if case.has_baselines(room, draw, settings) else 0
    scored = score_run(scene, sounds, _config(case, scene, sounds), baselines)
    rt60_s = [round(scene.responses(source).rt60_s, 3) for source in sounds.sources]
    return {"room": room, "draw": draw, "things": list(sounds.sources), "sounds": [Path(s).name for s in sounds.sounds],
            "rt60_measured_s": rt60_s, **scored}  # fmt: skip


def sound_case(case: BenchCase, room: int, draw: int, poses: int | None = None) -> SoundCase:
    """What sounds in a run. All cases of a room use the same objects, so that they share impulse responses.

    poses: of the run, if not those of the case.
    """
    order = np.random.default_rng([room, 53]).permutation(OBJECT_COUNT)
    first = DRAW_STRIDE * draw if case.sources > 1 else draw
    sources = tuple(int(x) for x in order[first : first + case.sources])
    if case.kind == "off_map":
        sources = (OFF_MAP,)
    turn = room * 3 + draw
    sounds = tuple(case.sounds[(turn + k) % len(case.sounds)] for k in range(len(sources)))
    return SoundCase(
        sounds,
        sources,
        DEFAULT_SNR_DB if case.snr_db is None else case.snr_db,
        fans=case.fans,
        diffuse_db=DIFFUSE_DB if case.kind == "diffuse" else None,
        lead_s=EGO_NOISE_LEAD_S if case.fans else 0,
        blocked=case.kind == "blocked",
        seed=draw,
        on_s=_halves(float(poses or case.poses)) if case.kind == "moved" else (),
    )


def _halves(seconds: float) -> tuple[tuple[float, float], tuple[float, float]]:
    half_s = seconds // 2
    return (0.0, half_s), (half_s, seconds)


def _config(case: BenchCase, scene: SoundScene, sounds: SoundCase) -> Config:
    """The defaults, with windows of one pose each; with one constant condition the memory covers the whole run."""
    values: dict[str, Any] = {"sound.window_s": 1.0, "sound.hop_s": 1.0}
    if case.kind in ("single", "blocked", "own_noise", "several"):
        values["sources.memory_s"] = max(Config().sources.memory_s, len(scene.poses) + sounds.lead_s + 1.0)
    return Config().updated(values)


def find_clips(data: Path | None) -> tuple[str, ...]:
    """Recorded clips in the folder of recordings; () without such a folder."""
    folder = data / "sounds" if data is not None else None
    return tuple(str(path) for path in sorted(folder.glob("*.ogg"))) if folder is not None and folder.is_dir() else ()
