"""Recordings of RGB-D folders with simulated audio: real images and poses, simulated acoustics, truth."""

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
from echoseg_sim.acoustics.reverberation import MIN_ROOM_HEIGHT_M, Shoebox
from echoseg_sim.acoustics.sounds import load_sound, sound_name
from echoseg_sim.acoustics.source_signal import SimulatedSource
from echoseg_sim.recordings.simulated_bag import Recording, TrueObject, TrueSource, Truth, write_recording

logger = logging.getLogger(__name__)

# Gap between the acoustic room's walls and everything inside, m.
ROOM_MARGIN_M = 0.3
# Depth readings beyond this are mostly noise and are ignored, m.
_DEPTH_MAX_M = 6.0
# Share of the depth readings at each end of an axis that does not extend the acoustic room: stray readings.
_DEPTH_TRIM = 0.0005
# Frames whose depth defines the acoustic room, at most about this many, and the step between pixels.
_ROOM_FRAMES = 40
_ROOM_PIXEL_STEP = 8
# Tolerance of time comparisons, s: stamps written in decimals may be off by this.
_STAMP_TOLERANCE_S = 5e-7


@dataclass(frozen=True)
class SourceSpec:
    """A requested source.

    name_or_point: an object's name or "X,Y,Z" in the folder's world frame; sound: a file or builtin:NAME; on_s: intervals in
    seconds since the bag's first message, None = the whole recording; blocked: an obstacle stands on the direct path.
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
    """Write the bag `out`: frames of an RGB-D folder, and simulated audio of an array on its camera.

    array: a name or a YAML file; start_s: first frame; seconds: length, None = to the end of the folder. Without sources the
    bag is silent. Returns the content of truth.json. Raises FolderError, ConfigError, ArrayError or BagError.
    """
    geometry = load_array(array)
    section = _Section.from_folder(RgbdFolder(Path(folder)), start_s, seconds)
    true_sources = tuple(_true_source(section, spec, number) for number, spec in enumerate(sources))
    poses_map_array = [T_map_camera @ geometry.T_camera_array for T_map_camera in section.poses_map_camera]
    shoebox = _acoustic_room(section, np.array([pose[:3, 3] for pose in poses_map_array]), true_sources)
    logger.info("acoustic room: %s m", " x ".join(f"{side:.2f}" for side in shoebox.size_m))
    audio = simulate_array(
        shoebox,
        rt60_s,
        geometry,
        poses_map_array,
        section.times_s,
        [
            _simulated_source(source, spec, geometry, seed + i)
            for i, (source, spec) in enumerate(zip(true_sources, sources))
        ],
        section.duration_s,
        snr_db,
        seed,
        progress,
    )
    truth = Truth(
        sources=true_sources,
        objects={name: TrueObject(name, box) for name, box in section.folder.objects.items()},
        T_map_world=section.folder.T_map_world,
        room_size_m=shoebox.size_m,
        rt60_measured_s=audio.rt60_measured_s,
    )
    recording = Recording(
        section.frames(), section.pose_data(), audio.samples, geometry, truth, frame_count=len(section.indices)
    )
    write_recording(out, recording, progress)
    return truth


@dataclass(frozen=True)
class _Section:
    """A section of an RGB-D folder. indices: [F] of its frames; times_s: [F] since the first of them."""

    folder: RgbdFolder
    indices: tuple[int, ...]
    times_s: Float64Array

    @classmethod
    def from_folder(cls, folder: RgbdFolder, start_s: float, seconds: float | None) -> _Section:
        stamps_s = np.asarray(folder.stamps_s) - folder.stamps_s[0]
        if (np.diff(stamps_s) <= 0).any():
            raise FolderError(f"{folder.path}/poses.txt: stamps do not increase; want the frames in order of time")
        end_s = np.inf if seconds is None else start_s + seconds
        is_inside = (stamps_s >= start_s - _STAMP_TOLERANCE_S) & (stamps_s < end_s - _STAMP_TOLERANCE_S)
        indices = np.flatnonzero(is_inside)
        if start_s < 0 or len(indices) < 2:
            raise ConfigError(
                f"start {start_s} s, length {seconds} s: want at least two frames of the folder's {stamps_s[-1]:.1f} s"
            )
        return cls(folder, tuple(indices.tolist()), np.round(stamps_s[indices] - stamps_s[indices[0]], 9))

    @property
    def duration_s(self) -> float:
        """Length of the recording: to one frame interval after the last frame."""
        return round(float(self.times_s[-1] + np.median(np.diff(self.times_s))), 9)

    @property
    def poses_map_camera(self) -> list[Float64Array]:
        """Pose of each frame."""
        return [self.folder.T_map_camera(i) for i in self.indices]

    def stamps_ns(self) -> list[int]:
        """Stamp of each frame in the bag."""
        return [BAG_START_NS + int(round(time_s * 1e9)) for time_s in self.times_s]

    def frames(self) -> Iterator[CameraFrame]:
        """The frames with their stamps in the bag, read one at a time."""
        for index, (i, stamp_ns) in enumerate(zip(self.indices, self.stamps_ns())):
            yield replace(self.folder.frame(i), stamp_ns=stamp_ns, index=index)

    def pose_data(self) -> list[PoseData]:
        """The poses with their stamps in the bag."""
        return [PoseData(stamp_ns, pose) for stamp_ns, pose in zip(self.stamps_ns(), self.poses_map_camera)]


def _true_source(section: _Section, spec: SourceSpec, number: int) -> TrueSource:
    point, object_name = _source_position(section.folder, spec.name_or_point)
    on_s = spec.on_s if spec.on_s is not None else ((0.0, section.duration_s),)
    for start_s, end_s in on_s:
        if not 0 <= start_s < end_s or start_s >= section.duration_s:
            raise ConfigError(
                f"sound on {start_s}:{end_s} s: want a start before its end, within 0 to {section.duration_s:.1f} s"
            )
    clipped = tuple((float(start_s), float(min(end_s, section.duration_s))) for start_s, end_s in on_s)
    return TrueSource(object_name or f"source{number}", point, sound_name(spec.sound), clipped, object_name)


def _source_position(folder: RgbdFolder, name_or_point: str) -> tuple[Float64Array, str | None]:
    """Position [3] of a source in the map, and the name of its object, None for a point."""
    if name_or_point in folder.objects:
        return np.asarray(folder.objects[name_or_point].center_m, dtype=float), name_or_point
    try:
        point_world = np.array([float(word) for word in name_or_point.split(",")])
    except ValueError:
        point_world = np.zeros(0)
    if point_world.shape != (3,) or not np.isfinite(point_world).all():
        names = ", ".join(sorted(folder.objects)) or "none"
        raise FolderError(
            f"source {name_or_point!r}: want X,Y,Z in the folder's world frame or one of its objects ({names})"
        )
    return apply(folder.T_map_world, point_world), None


def _simulated_source(source: TrueSource, spec: SourceSpec, array: ArrayGeometry, seed: int) -> SimulatedSource:
    signal = load_sound(spec.sound, array.sample_rate_hz, seed)
    return SimulatedSource(source.name, source.position_m, signal, source.on_s, spec.blocked)


def _acoustic_room(section: _Section, path_map: Float64Array, sources: Sequence[TrueSource]) -> Shoebox:
    """The acoustic room: a level box around the visible surfaces, the array's path and the sources, with a margin."""
    inside = [path_map, *(np.asarray(source.position_m)[None] for source in sources)]
    visible = _visible_points(section)
    if len(visible):
        inside.append(np.quantile(visible, [_DEPTH_TRIM, 1 - _DEPTH_TRIM], axis=0))
    points = np.concatenate([*inside, np.array([pose[:3, 3] for pose in section.poses_map_camera])])
    low, high = points.min(axis=0) - ROOM_MARGIN_M, points.max(axis=0) + ROOM_MARGIN_M
    high[2] = max(high[2], low[2] + MIN_ROOM_HEIGHT_M)
    return Shoebox(low, high - low)


def _visible_points(section: _Section) -> Float64Array:
    """A sample [N, 3] of the depth readings as points in the map."""
    points = [np.zeros((0, 3))]
    for i in section.indices[:: max(1, len(section.indices) // _ROOM_FRAMES)]:
        depth_m = section.folder.depth_m(i)
        if depth_m is None:
            continue
        valid = np.zeros(depth_m.shape, dtype=bool)
        valid[::_ROOM_PIXEL_STEP, ::_ROOM_PIXEL_STEP] = True
        valid &= (depth_m > 0) & (depth_m < _DEPTH_MAX_M)
        points.append(apply(section.folder.T_map_camera(i), backproject(section.folder.camera, depth_m)[valid]))
    return np.concatenate(points)
