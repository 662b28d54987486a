"""A furnished room as a recording: a robot drives through it, sees it, and hears one or more of its objects."""

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
from echoseg_sim.acoustics.reverberation import Shoebox
from echoseg_sim.acoustics.sounds import load_sound
from echoseg_sim.acoustics.source_signal import SimulatedSource
from echoseg_sim.recordings.camera_path import CameraPath, plan_path
from echoseg_sim.recordings.simulated_bag import Recording, TrueObject, TrueSource, Truth, write_recording
from echoseg_sim.rooms.render import render, simulate_sensor
from echoseg_sim.rooms.room import Room, RoomObject, make_room

logger = logging.getLogger(__name__)

FRAME_RATE_HZ = 10.0
ROOM_MIN_HEIGHT_M = 2.5
MIN_SECONDS = 2.0
_FOCAL_SHARE = 0.75  # of the image's width: 67 degrees of view, as a robot's RGB-D camera has
_QUIET_START_S = 1.0  # silence before the sources start, if the recording is long enough to spare it
_MIN_SEEN_S = 2.0
_SOURCE_CHOICES = 6
# Not on the lowest or above the highest board: a camera at 1.2 m sees these badly.
_SOURCE_HEIGHT_M = (0.25, 1.5)


@dataclass(frozen=True, eq=False)
class RoomScenario:
    """A room, the objects that sound in it, and the way past them."""

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
    """Write the bag `out` of a drive through the room of that seed. Returns what truth.json holds.

    array: a name or a YAML file; sources: how many objects sound, 0 = silence; instances: "multi" puts three of the
    first sounding object's kind into the room; sounds: in the order of the sources, instead of what their kinds sound
    like; size_px: width and height. Raises ConfigError, ArrayError, FolderError or BagError with what is wrong.
    """
    _check(sources, instances, seconds, size_px)
    geometry = load_array(array)
    tour = make_scenario(seed, sources, instances, seconds)
    true_sources = _true_sources(tour, _sounds(tour, sounds), seconds)
    shoebox = shoebox_of(tour.room)
    heard = simulate_array(
        shoebox,
        rt60_s,
        geometry,
        list(tour.path.poses @ geometry.T_camera_array),
        tour.path.times_s,
        sounding_sources(true_sources, _sounds(tour, sounds), geometry, seed),
        seconds,
        snr_db,
        seed,
        progress,
    )
    truth = Truth(
        sources=true_sources,
        objects={item.name: TrueObject(item.kind, item.box) for item in tour.room.objects},
        T_map_world=np.eye(4),
        room_size_m=shoebox.size_m,
        rt60_measured_s=heard.rt60_measured_s,
    )
    frame_count = int(round(seconds * FRAME_RATE_HZ))
    poses = [PoseData(_stamp_ns(t), pose) for t, pose in zip(tour.path.times_s, tour.path.poses, strict=True)]
    frames = render_frames(tour, camera_of(size_px), seed)
    write_recording(out, Recording(frames, poses, heard.samples, geometry, truth, frame_count), progress)
    return truth


def make_scenario(seed: int, sources: int = 1, instances: str = "single", seconds: float = 20.0) -> RoomScenario:
    """A room, `sources` objects of it that plausibly sound, and a path that shows each of them.

    Raises ConfigError if the room has fewer such objects.
    """
    room = make_room(seed, instances)
    rng = np.random.default_rng([seed, 5])
    best: RoomScenario | None = None
    for sounding in _choices(room, sources, instances, rng):
        path = plan_path(room, [item.name for item in sounding], seconds, seed)
        if path is None:
            break
        tour = RoomScenario(room, sounding, path)
        if best is None or _least_seen_s(tour) > _least_seen_s(best):
            best = tour
        if _least_seen_s(best) >= min(_MIN_SEEN_S, seconds / 5):
            break
    if best is None:
        raise ConfigError(f"room of seed {seed}: no way to drive in it; take another seed")
    logger.info(
        "sounding: %s", ", ".join(f"{name} (seen {s:.1f} s)" for name, s in best.path.seen_s.items()) or "nothing"
    )
    return best


def camera_of(size_px: tuple[int, int]) -> Camera:
    """The camera of simulated rooms at a size."""
    width, height = size_px
    focal = _FOCAL_SHARE * width
    return Camera(width, height, focal, focal, width / 2, height / 2)


def render_frames(tour: RoomScenario, camera: Camera, seed: int) -> Iterator[CameraFrame]:
    """The frames of a tour at FRAME_RATE_HZ with the sensor's noise, made one by one."""
    every = int(round(1.0 / (FRAME_RATE_HZ * (tour.path.times_s[1] - tour.path.times_s[0]))))
    for index, at in enumerate(range(0, len(tour.path.times_s) - 1, every)):
        pose = tour.path.poses[at]
        rgb, depth_m = simulate_sensor(render(tour.room, camera, pose), np.random.default_rng([seed, 9, index]))
        yield CameraFrame(_stamp_ns(tour.path.times_s[at]), index, camera, rgb, depth_m, pose)


def _check(sources: int, instances: str, seconds: float, size_px: tuple[int, int]) -> None:
    if instances not in ("single", "multi"):
        raise ConfigError(f"instances {instances!r}: want single or multi")
    if sources < 0:
        raise ConfigError(f"{sources} sources: want 0 or more")
    if not (np.isfinite(seconds) and seconds >= MIN_SECONDS):
        raise ConfigError(f"seconds {seconds}: want at least {MIN_SECONDS}")
    if min(size_px) < 16:
        raise ConfigError(f"image size {size_px[0]} x {size_px[1]} px: want at least 16 x 16")


def _choices(room: Room, count: int, instances: str, rng: np.random.Generator) -> list[tuple[RoomObject, ...]]:
    """Some ways to choose the sounding objects; with "multi" the first is of the kind there are several of."""
    able = [item for item in room.objects if item.sound is not None]
    if count > len(able):
        raise ConfigError(f"{count} sources: the room of seed {room.seed} has {len(able)} objects that can sound")
    kinds = [item.kind for item in able]
    choices = []
    for _ in range(_SOURCE_CHOICES):
        order = [able[i] for i in rng.permutation(len(able))]
        order.sort(key=lambda item: not _SOURCE_HEIGHT_M[0] < item.box.center_m[2] < _SOURCE_HEIGHT_M[1])
        if instances == "multi":
            order.sort(key=lambda item: kinds.count(item.kind) < 2)
            order[1:] = sorted(order[1:], key=lambda item: item.kind == order[0].kind)
        choices.append(tuple(order[:count]))
    return choices


def _least_seen_s(tour: RoomScenario) -> float:
    return min(tour.path.seen_s.values(), default=np.inf)


def _sounds(tour: RoomScenario, sounds: Sequence[str]) -> list[str]:
    """What each source plays: as asked for, else what its kind sounds like."""
    usual = [f"builtin:{item.sound}" for item in tour.sounding]
    return [*sounds[: len(usual)], *usual[len(sounds) :]]


def _true_sources(tour: RoomScenario, sounds: Sequence[str], seconds: float) -> tuple[TrueSource, ...]:
    start_s = _QUIET_START_S if seconds >= 5 * _QUIET_START_S else 0.0
    on_s = ((start_s, float(seconds)),)
    return tuple(
        TrueSource(
            item.name, item.box.center_m, sound if sound.startswith("builtin:") else Path(sound).name, on_s, item.name
        )
        for item, sound in zip(tour.sounding, sounds, strict=True)
    )


def sounding_sources(
    sources: Sequence[TrueSource], sounds: Sequence[str], array: ArrayGeometry, seed: int
) -> list[SimulatedSource]:
    """What the acoustics need of sources that play `sounds` (files or builtins)."""
    return [
        SimulatedSource(
            source.name, source.position_m, load_sound(sound, array.sample_rate_hz, seed + number), source.on_s
        )
        for number, (source, sound) in enumerate(zip(sources, sounds, strict=True))
    ]


def shoebox_of(room: Room) -> Shoebox:
    """The box that a room is for the acoustics."""
    size = np.array([room.size_m[0], room.size_m[1], max(room.size_m[2], ROOM_MIN_HEIGHT_M)])
    return Shoebox(np.array([-size[0] / 2, -size[1] / 2, 0.0]), size)


def _stamp_ns(time_s: float) -> int:
    return BAG_START_NS + int(round(time_s * 1e9))
