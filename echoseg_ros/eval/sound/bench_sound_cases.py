"""What `echoseg bench sound` measures: the grid of cases, and one run of one of them."""

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
from echoseg_ros.eval.sound.sound_rooms import THINGS
from echoseg_ros.eval.sound.sound_scenes import BINAURAL_POSES, OFF_MAP, POSES, SoundCase, SoundScene, make_scene
from echoseg_ros.eval.sound.sound_scoring import RunRow, score_run

NOISE, SPEECH, TONE = "builtin:noise", "builtin:speech", "builtin:tone"
# Sources that sound together take theirs in turn from here.
TOGETHER = (SPEECH, NOISE, "builtin:knock", "builtin:pink")
# Kinds of cases in which nothing of the map sounds.
FALSE_ALARMS, FALSE_ALARM_POSES = ("silence", "diffuse", "off_map"), 120
# Seconds of a way on half of which another thing sounds instead of the first one.
MOVED_POSES = 60
# The rooms of the bench: constants were set in those of seeds 0 to 19 and looked at again in 20 to 31.
FIRST_ROOM = 100
# Sets of things that sound, of one room.
DRAWN_APART = 3


@dataclass(frozen=True)
class BenchSettings:
    """How much is done.

    rooms: how many seeds from FIRST_ROOM on by array; draws: things that sound, one after the other, in each room;
    poses: of a way, 0 = as the case says; baseline_rooms, baseline_windows: what the slower methods of others get;
    walks: recordings of a calibration case; cost_seconds: of the recording whose cost is measured, cost_last_s: of
    which only the last ones count.
    """

    rooms: dict[str, int] = field(default_factory=lambda: {"cube8": 10, "square4": 10, "binaural": 10})
    draws: dict[str, int] = field(default_factory=lambda: {"cube8": 2, "square4": 2, "binaural": 2})
    poses: int = 0
    baseline_rooms: int = 2
    baseline_windows: int = 6
    walks: int = 8
    cost_seconds: float = 60.0
    cost_last_s: float = 20.0


@dataclass(frozen=True)
class BenchCase:
    """One cell of the grid. name: array/kind/...; sounds: one for each source; of clips one after the other.

    kind: single, blocked (no straight way), several, moved (another thing instead of the first one), own_noise, silence,
    diffuse, off_map; calibration (a recording with a wrong clock and yaw); cost (what a core has to do). snr_db: None where
    nothing sounds. runs: (seed of the room, number of the draw).
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
        """Seconds of a run."""
        if self.kind in FALSE_ALARMS:
            return FALSE_ALARM_POSES
        if self.kind == "moved":
            return MOVED_POSES
        return BINAURAL_POSES if self.array == "binaural" else POSES

    def is_meant(self, only: Sequence[str]) -> bool:
        """Whether one of the texts is its name or a part of it; without any, every case is meant."""
        return not only or any(text in (self.name, *self.name.split("/")) for text in only)

    def has_baselines(self, room: int, draw: int, settings: BenchSettings) -> bool:
        """Whether the methods of others run too; the vote of two ears costs nothing."""
        if self.kind != "single":
            return False
        return self.array == "binaural" or (room < FIRST_ROOM + settings.baseline_rooms and draw == 0)


def all_cases(settings: BenchSettings, clips: Sequence[str]) -> list[BenchCase]:
    """The whole grid; without clips, without them."""
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
    cases += [make("cube8", "several", rt, 20.0, "mixed", TOGETHER, n) for n in (2, 3) for rt in (0.2, 0.4)]
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
    if kind in FALSE_ALARMS:  # nothing of the room sounds: another draw would say the same, another room does not
        rooms, draws = rooms * draws, 1
    if kind in ("calibration", "cost"):
        rooms, draws = (settings.walks if kind == "calibration" else 1), 1
    runs = tuple((FIRST_ROOM + room, draw) for room in range(rooms) for draw in range(draws))
    return BenchCase("/".join(parts), array, kind, rt60_s, snr_db, sounds, sound, sources, fans, runs)


def run_case(case: BenchCase, room: int, draw: int, settings: BenchSettings, cache: Path) -> RunRow:
    """One run: the row of what came out, with its seeds."""
    if case.kind == "calibration":
        return {"room": room, "draw": draw, **calibration_rows([room], [case.array])[0]}
    if case.kind == "cost":
        return {"room": room, "draw": draw, **cost_row(room, settings.cost_seconds, settings.cost_last_s)}
    poses = settings.poses or case.poses
    scene = make_scene(room, case.array, case.rt60_s, cache, poses)
    heard = sound_case(case, room, draw, poses)
    baselines = settings.baseline_windows if case.has_baselines(room, draw, settings) else 0
    scored = score_run(scene, heard, _config(case, scene, heard), baselines)
    rt60_s = [round(scene.responses(source).rt60_s, 3) for source in heard.sources]
    return {"room": room, "draw": draw, "things": list(heard.sources), "sounds": [Path(s).name for s in heard.sounds],
            "rt60_measured_s": rt60_s, **scored}  # fmt: skip


def sound_case(case: BenchCase, room: int, draw: int, poses: int | None = None) -> SoundCase:
    """Which things sound in a run, and how. The same things for all cases of a room, so that they share responses.

    poses: of the way, if not those of the case.
    """
    order = np.random.default_rng([room, 53]).permutation(THINGS)
    first = DRAWN_APART * draw if case.sources > 1 else draw
    sources = tuple(int(x) for x in order[first : first + case.sources])
    if case.kind == "off_map":
        sources = (OFF_MAP,)
    turn = room * 3 + draw
    sounds = tuple(case.sounds[(turn + k) % len(case.sounds)] for k in range(len(sources)))
    return SoundCase(
        sounds,
        sources,
        20.0 if case.snr_db is None else case.snr_db,
        fans=case.fans,
        diffuse_db=20.0 if case.kind == "diffuse" else None,
        lead_s=3 if case.fans else 0,
        blocked=case.kind == "blocked",
        seed=draw,
        on_s=_halves(float(poses or case.poses)) if case.kind == "moved" else (),
    )


def _halves(seconds: float) -> tuple[tuple[float, float], tuple[float, float]]:
    half_s = seconds // 2
    return (0.0, half_s), (half_s, seconds)


def _config(case: BenchCase, scene: SoundScene, heard: SoundCase) -> Config:
    """The defaults, with windows as long as the array stands still and a memory of the whole way."""
    values: dict[str, Any] = {"sound.window_s": 1.0, "sound.hop_s": 1.0}
    if case.kind in ("single", "blocked", "own_noise", "several"):
        values["sources.memory_s"] = max(Config().sources.memory_s, len(scene.poses) + heard.lead_s + 1.0)
    return Config().updated(values)


def find_clips(data: Path | None) -> tuple[str, ...]:
    """Recorded clips of the test data, none where there are no such data."""
    folder = data / "sounds" if data is not None else None
    return tuple(str(path) for path in sorted(folder.glob("*.ogg"))) if folder is not None and folder.is_dir() else ()
