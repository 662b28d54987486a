"""Recordings of simulated rooms: a robot with camera and array drives through a room in which objects sound."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from echoseg_ros.errors import ConfigError
from echoseg_ros.io.bag_writer import BAG_START_NS
from echoseg_ros.sound.array.array_geometry import ArrayGeometry, load_array
from echoseg_ros.types import Camera, CameraFrame, PoseData
from echoseg_sim.acoustics.array_audio import simulate_array
from echoseg_sim.acoustics.reverberation import MIN_ROOM_HEIGHT_M, Shoebox
from echoseg_sim.acoustics.sounds import BUILTIN_PREFIX, load_sound, sound_name
from echoseg_sim.acoustics.source_signal import SimulatedSource
from echoseg_sim.recordings.camera_path import CameraPath, plan_path
from echoseg_sim.recordings.simulated_bag import Recording, TrueObject, TrueSource, Truth, write_recording
from echoseg_sim.rooms.home_rooms import SOUNDING_HEIGHT_M
from echoseg_sim.rooms.object_placement import RoomObject
from echoseg_sim.rooms.render import render, simulate_sensor
from echoseg_sim.rooms.room import Room, make_room

logger = logging.getLogger(__name__)

# Rate of the camera, Hz.
FRAME_RATE_HZ = 10.0
# Shortest recording, s.
MIN_SECONDS = 2.0
# Least side of the images, px.
_MIN_SIZE_PX = 16
# Focal length over the image's width: a field of view of 67 degrees, as of a robot's RGB-D camera.
_FOCAL_SHARE = 0.75
# Silence before the sources start, s, in recordings that are at least _QUIET_RATIO times as long.
_QUIET_START_S = 1.0
_QUIET_RATIO = 5
# Least time of each sounding object in good view, s, or this share of the recording, if that is shorter.
_MIN_SEEN_S = 2.0
_MIN_SEEN_SHARE = 5
# Random choices of sounding objects that are tried.
_SOURCE_CHOICES = 6


@dataclass(frozen=True, eq=False)
class RoomScenario:
    """A room, its sounding objects, and a camera path that shows them."""

    room: Room
    sounding: tuple[RoomObject, ...]
    path: CameraPath


def simulate_room(
    out: Path,
    *,
    seed: int = 0,
    array: str = "cube8",
    sources: int = 1,
    instances: str = "single",
    rt60_s: float = 0.4,
    snr_db: float = 20.0,
    seconds: float = 20.0,
    sounds: Sequence[str] = (),
    size_px: tuple[int, int] = (320, 240),
    progress: bool = True,
) -> Truth:
    """Write the bag `out` of a drive through the room of a seed. Returns the content of truth.json.

    array: a name or a YAML file; sources: number of sounding objects, 0 = silence; instances: "multi" = three objects of the
    first sounding object's kind; sounds: files or built-in sounds of the first sources, instead of their kinds' sounds;
    size_px: width and height of the images. Raises ConfigError, ArrayError, FolderError or BagError.
    """
    _check(sources, instances, seconds, size_px)
    geometry = load_array(array)
    scenario = make_scenario(seed, sources, instances, seconds)
    true_sources = _true_sources(scenario, _sounds(scenario, sounds), seconds)
    shoebox = shoebox_of(scenario.room)
    audio = simulate_array(
        shoebox,
        rt60_s,
        geometry,
        list(scenario.path.poses @ geometry.T_camera_array),
        scenario.path.times_s,
        simulated_sources(true_sources, _sounds(scenario, sounds), geometry, seed),
        seconds,
        snr_db,
        seed,
        progress,
    )
    truth = Truth(
        sources=true_sources,
        objects={item.name: TrueObject(item.kind, item.box) for item in scenario.room.objects},
        T_map_world=np.eye(4),
        room_size_m=shoebox.size_m,
        rt60_measured_s=audio.rt60_measured_s,
    )
    frame_count = int(round(seconds * FRAME_RATE_HZ))
    poses = [PoseData(_stamp_ns(t), pose) for t, pose in zip(scenario.path.times_s, scenario.path.poses, strict=True)]
    frames = render_frames(scenario, camera_of(size_px), seed)
    write_recording(out, Recording(frames, poses, audio.samples, geometry, truth, frame_count), progress)
    return truth


def make_scenario(seed: int, sources: int = 1, instances: str = "single", seconds: float = 20.0) -> RoomScenario:
    """A room, `sources` of its objects that can sound, and a path that shows each of them.

    Raises ConfigError if the room has fewer such objects or a robot cannot drive in it.
    """
    room = make_room(seed, instances)
    rng = np.random.default_rng([seed, 5])
    best: RoomScenario | None = None
    for sounding in _choices(room, sources, instances, rng):
        path = plan_path(room, [item.name for item in sounding], seconds, seed)
        if path is None:
            break
        scenario = RoomScenario(room, sounding, path)
        if best is None or _least_seen_s(scenario) > _least_seen_s(best):
            best = scenario
        if _least_seen_s(best) >= min(_MIN_SEEN_S, seconds / _MIN_SEEN_SHARE):
            break
    if best is None:
        raise ConfigError(f"room of seed {seed}: no space for a robot to drive; take another seed")
    seen = [f"{name} (in good view for {seen_s:.1f} s)" for name, seen_s in best.path.seen_s.items()]
    logger.info("sounding objects: %s", ", ".join(seen) or "none")
    return best


def camera_of(size_px: tuple[int, int]) -> Camera:
    """The camera of simulated rooms for images of a size (width, height)."""
    width, height = size_px
    focal = _FOCAL_SHARE * width
    return Camera(width, height, focal, focal, width / 2, height / 2)


def render_frames(scenario: RoomScenario, camera: Camera, seed: int) -> Iterator[CameraFrame]:
    """The frames of a scenario at FRAME_RATE_HZ with the sensor's noise, rendered one at a time."""
    every = int(round(1.0 / (FRAME_RATE_HZ * (scenario.path.times_s[1] - scenario.path.times_s[0]))))
    for index, at in enumerate(range(0, len(scenario.path.times_s) - 1, every)):
        pose = scenario.path.poses[at]
        rgb, depth_m = simulate_sensor(render(scenario.room, camera, pose), np.random.default_rng([seed, 9, index]))
        yield CameraFrame(_stamp_ns(scenario.path.times_s[at]), index, camera, rgb, depth_m, pose)


def _check(sources: int, instances: str, seconds: float, size_px: tuple[int, int]) -> None:
    if instances not in ("single", "multi"):
        raise ConfigError(f"instances {instances!r}: want single or multi")
    if sources < 0:
        raise ConfigError(f"{sources} sources: want 0 or more")
    if not (np.isfinite(seconds) and seconds >= MIN_SECONDS):
        raise ConfigError(f"seconds {seconds}: want at least {MIN_SECONDS}")
    if min(size_px) < _MIN_SIZE_PX:
        raise ConfigError(
            f"image size {size_px[0]} x {size_px[1]} px: want at least {_MIN_SIZE_PX} x {_MIN_SIZE_PX} px"
        )


def _choices(room: Room, count: int, instances: str, rng: np.random.Generator) -> list[tuple[RoomObject, ...]]:
    """Random choices of `count` sounding objects; with "multi", the first one is of the repeated kind.

    Objects at a height that is well visible come first. Raises ConfigError if the room has fewer objects that can sound.
    """
    candidates = [item for item in room.objects if item.sound is not None]
    if count > len(candidates):
        raise ConfigError(f"{count} sources: the room of seed {room.seed} has {len(candidates)} objects that can sound")
    kinds = [item.kind for item in candidates]
    choices = []
    for _ in range(_SOURCE_CHOICES):
        order = [candidates[i] for i in rng.permutation(len(candidates))]
        order.sort(key=lambda item: not SOUNDING_HEIGHT_M[0] < item.box.center_m[2] < SOUNDING_HEIGHT_M[1])
        if instances == "multi":
            order.sort(key=lambda item: kinds.count(item.kind) < 2)
            order[1:] = sorted(order[1:], key=lambda item: item.kind == order[0].kind)
        choices.append(tuple(order[:count]))
    return choices


def _least_seen_s(scenario: RoomScenario) -> float:
    return min(scenario.path.seen_s.values(), default=np.inf)


def _sounds(scenario: RoomScenario, sounds: Sequence[str]) -> list[str]:
    """The sound of each source: the requested one, else its kind's."""
    usual = [f"{BUILTIN_PREFIX}{item.sound}" for item in scenario.sounding]
    return [*sounds[: len(usual)], *usual[len(sounds) :]]


def _true_sources(scenario: RoomScenario, sounds: Sequence[str], seconds: float) -> tuple[TrueSource, ...]:
    start_s = _QUIET_START_S if seconds >= _QUIET_RATIO * _QUIET_START_S else 0.0
    on_s = ((start_s, float(seconds)),)
    return tuple(
        TrueSource(item.name, item.box.center_m, sound_name(sound), on_s, item.name)
        for item, sound in zip(scenario.sounding, sounds, strict=True)
    )


def simulated_sources(
    sources: Sequence[TrueSource], sounds: Sequence[str], array: ArrayGeometry, seed: int
) -> list[SimulatedSource]:
    """The sources for the acoustics. sounds: file or built-in sound of each source; seed: of the first source's sound."""
    return [
        SimulatedSource(
            source.name, source.position_m, load_sound(sound, array.sample_rate_hz, seed + number), source.on_s
        )
        for number, (source, sound) in enumerate(zip(sources, sounds, strict=True))
    ]


def shoebox_of(room: Room) -> Shoebox:
    """The acoustic box of a room: the room itself, with at least MIN_ROOM_HEIGHT_M."""
    size = np.array([room.size_m[0], room.size_m[1], max(room.size_m[2], MIN_ROOM_HEIGHT_M)])
    return Shoebox(np.array([-size[0] / 2, -size[1] / 2, 0.0]), size)


def _stamp_ns(time_s: float) -> int:
    return BAG_START_NS + int(round(time_s * 1e9))
