"""A posed RGB-D folder as a recording with sound: real images, simulated acoustics, known truth."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from echoseg_ros.errors import ConfigError, FolderError
from echoseg_ros.geometry import apply, backproject
from echoseg_ros.io.bag_writer import BAG_START_NS
from echoseg_ros.io.rgbd_folder import RgbdFolder
from echoseg_ros.sound.array.array_geometry import ArrayGeometry, load_array
from echoseg_ros.types import CameraFrame, Float64Array, PoseData
from echoseg_sim.acoustics.array_audio import simulate_array
from echoseg_sim.acoustics.reverberation import Shoebox
from echoseg_sim.acoustics.sounds import load_sound
from echoseg_sim.acoustics.source_signal import SimulatedSource
from echoseg_sim.recordings.simulated_bag import Recording, TrueObject, TrueSource, Truth, write_recording

logger = logging.getLogger(__name__)

ROOM_MARGIN_M = 0.3
ROOM_MIN_HEIGHT_M = 2.5
# Readings beyond this are mostly noise; the walls of a room seen by a depth camera are nearer.
_DEPTH_MAX_M = 6.0
# Stray readings do not push the walls out.
_MAP_TRIM = 0.0005
_ROOM_FRAMES = 40
_ROOM_PIXEL_STEP = 8


@dataclass(frozen=True)
class SourceSpec:
    """A source as asked for.

    name_or_point: an object's name or "X,Y,Z" in the folder's world; sound: a file or builtin:NAME; on_s: seconds since
    the bag's first message, None = all the time; blocked: its direct path is obstructed.
    """

    name_or_point: str
    sound: str = "builtin:speech"
    on_s: tuple[tuple[float, float], ...] | None = None
    blocked: bool = False


def simulate_rgbd(
    folder: Path,
    out: Path,
    sources: Sequence[SourceSpec] = (),
    array: str = "cube8",
    rt60_s: float = 0.4,
    snr_db: float = 20.0,
    seed: int = 0,
    start_s: float = 0.0,
    seconds: float | None = None,
    progress: bool = False,
) -> Truth:
    """Write the bag `out`: the folder's frames from start_s on, `seconds` long, with what an array on the camera hears.

    array: a name or a YAML file; seconds: None = to the end. Without sources the bag is silent. Returns what truth.json
    holds. Raises FolderError, ConfigError, ArrayError or BagError with what is wrong.
    """
    geometry = load_array(array)
    recorded = _Part.of(RgbdFolder(Path(folder)), start_s, seconds)
    true_sources = tuple(_true_source(recorded, spec, number) for number, spec in enumerate(sources))
    poses_map_array = [T_map_camera @ geometry.T_camera_array for T_map_camera in recorded.poses_map_camera]
    shoebox = _room(recorded, np.array([pose[:3, 3] for pose in poses_map_array]), true_sources)
    logger.info("acoustic room of %s m", " x ".join(f"{side:.2f}" for side in shoebox.size_m))
    heard = simulate_array(
        shoebox,
        rt60_s,
        geometry,
        poses_map_array,
        recorded.times_s,
        [_sounding(source, spec, geometry, seed + i) for i, (source, spec) in enumerate(zip(true_sources, sources))],
        recorded.duration_s,
        snr_db,
        seed,
        progress,
    )
    truth = Truth(
        sources=true_sources,
        objects={name: TrueObject(name, box) for name, box in recorded.folder.objects.items()},
        T_map_world=recorded.folder.T_map_world,
        room_size_m=shoebox.size_m,
        rt60_measured_s=heard.rt60_measured_s,
    )
    recording = Recording(
        recorded.frames(), recorded.pose_data(), heard.samples, geometry, truth, frame_count=len(recorded.indices)
    )
    write_recording(out, recording, progress)
    return truth


@dataclass(frozen=True)
class _Part:
    """The frames that are used. indices: [F] of the folder; times_s: [F] since the first of them."""

    folder: RgbdFolder
    indices: tuple[int, ...]
    times_s: Float64Array

    @classmethod
    def of(cls, folder: RgbdFolder, start_s: float, seconds: float | None) -> _Part:
        stamps_s = np.asarray(folder.stamps_s) - folder.stamps_s[0]
        if (np.diff(stamps_s) <= 0).any():
            raise FolderError(f"{folder.path}/poses.txt: stamps do not rise")
        end_s = np.inf if seconds is None else start_s + seconds
        # Half a microsecond, lest a stamp written in decimals falls on the wrong side.
        indices = np.flatnonzero((stamps_s >= start_s - 5e-7) & (stamps_s < end_s - 5e-7))
        if start_s < 0 or len(indices) < 2:
            raise ConfigError(
                f"start {start_s} s, length {seconds} s: want at least two frames of the folder's {stamps_s[-1]:.1f} s"
            )
        return cls(folder, tuple(indices.tolist()), np.round(stamps_s[indices] - stamps_s[indices[0]], 9))

    @property
    def duration_s(self) -> float:
        """Up to one frame's time after the last frame."""
        return round(float(self.times_s[-1] + np.median(np.diff(self.times_s))), 9)

    @property
    def poses_map_camera(self) -> list[Float64Array]:
        return [self.folder.T_map_camera(i) for i in self.indices]

    def stamps_ns(self) -> list[int]:
        return [BAG_START_NS + int(round(time_s * 1e9)) for time_s in self.times_s]

    def frames(self) -> Iterator[CameraFrame]:
        for index, (i, stamp_ns) in enumerate(zip(self.indices, self.stamps_ns())):
            yield replace(self.folder.frame(i), stamp_ns=stamp_ns, index=index)

    def pose_data(self) -> list[PoseData]:
        return [PoseData(stamp_ns, pose) for stamp_ns, pose in zip(self.stamps_ns(), self.poses_map_camera)]


def _true_source(recorded: _Part, spec: SourceSpec, number: int) -> TrueSource:
    point, object_name = _place(recorded.folder, spec.name_or_point)
    on_s = spec.on_s if spec.on_s is not None else ((0.0, recorded.duration_s),)
    for start_s, end_s in on_s:
        if not 0 <= start_s < end_s or start_s >= recorded.duration_s:
            raise ConfigError(
                f"sound on {start_s}:{end_s} s: want a start before its end, within 0 to {recorded.duration_s:.1f} s"
            )
    clipped = tuple((float(start_s), float(min(end_s, recorded.duration_s))) for start_s, end_s in on_s)
    return TrueSource(object_name or f"source{number}", point, _sound_name(spec.sound), clipped, object_name)


def _place(folder: RgbdFolder, place: str) -> tuple[Float64Array, str | None]:
    """Where a source is in the map [3], and the object it belongs to."""
    if place in folder.objects:
        return np.asarray(folder.objects[place].center_m, dtype=float), place
    try:
        point_world = np.array([float(word) for word in place.split(",")])
    except ValueError:
        point_world = np.zeros(0)
    if point_world.shape != (3,) or not np.isfinite(point_world).all():
        names = ", ".join(sorted(folder.objects)) or "none"
        raise FolderError(f"source {place!r}: want X,Y,Z in the folder's world or one of its objects ({names})")
    return apply(folder.T_map_world, point_world), None


def _sound_name(sound: str) -> str:
    """What truth.json calls the sound: the file's name, not where it lay."""
    return sound if sound.startswith("builtin:") else Path(sound).name


def _sounding(source: TrueSource, spec: SourceSpec, array: ArrayGeometry, seed: int) -> SimulatedSource:
    signal = load_sound(spec.sound, array.sample_rate_hz, seed)
    return SimulatedSource(source.name, source.position_m, signal, source.on_s, spec.blocked)


def _room(recorded: _Part, path_map: Float64Array, sources: Sequence[TrueSource]) -> Shoebox:
    """The level box around what the camera sees, the array's path and the sources, with a margin."""
    inside = [path_map, *(np.asarray(source.position_m)[None] for source in sources)]
    seen = _seen_points(recorded)
    if len(seen):
        inside.append(np.quantile(seen, [_MAP_TRIM, 1 - _MAP_TRIM], axis=0))
    points = np.concatenate([*inside, np.array([pose[:3, 3] for pose in recorded.poses_map_camera])])
    low, high = points.min(axis=0) - ROOM_MARGIN_M, points.max(axis=0) + ROOM_MARGIN_M
    high[2] = max(high[2], low[2] + ROOM_MIN_HEIGHT_M)
    return Shoebox(low, high - low)


def _seen_points(recorded: _Part) -> Float64Array:
    """[N, 3] a sample of the depth readings in the map."""
    points = [np.zeros((0, 3))]
    for i in recorded.indices[:: max(1, len(recorded.indices) // _ROOM_FRAMES)]:
        depth_m = recorded.folder.depth_m(i)
        if depth_m is None:
            continue
        valid = np.zeros(depth_m.shape, dtype=bool)
        valid[::_ROOM_PIXEL_STEP, ::_ROOM_PIXEL_STEP] = True
        valid &= (depth_m > 0) & (depth_m < _DEPTH_MAX_M)
        points.append(apply(recorded.folder.T_map_camera(i), backproject(recorded.folder.camera, depth_m)[valid]))
    return np.concatenate(points)
