"""Values that pass between the stages: frozen dataclasses with a stamp and a named frame.

Units are SI. Stamps are integer nanoseconds of sensor time. `T_a_b` takes points of frame b into frame a:
`p_a = T_a_b @ p_b`. The camera frame is the optical frame: x right, y down, z forward. The map frame is level, z up.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]
Float32Array = NDArray[np.float32]
Complex64Array = NDArray[np.complex64]
FloatImage = NDArray[np.float32]
RgbImage = NDArray[np.uint8]

# A stamp earlier than the newest one by more than this is a backward time jump; by less it is a late message, ns.
BACKWARD_JUMP_NS = 1_000_000_000


def is_backward_jump(stamp_ns: int, newest_ns: int | None) -> bool:
    """Whether a stamp is a backward time jump: the recording started again."""
    return newest_ns is not None and stamp_ns < newest_ns - BACKWARD_JUMP_NS


@dataclass(frozen=True)
class Camera:
    """Intrinsics of a pinhole camera without distortion.

    width, height: image size in pixels; fx, fy: focal lengths in pixels; cx, cy: principal point in pixels. The centre of
    the first pixel is (0.5, 0.5).
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def resized(self, width: int, height: int) -> Camera:
        """The intrinsics of the same camera for images of another size."""
        sx, sy = width / self.width, height / self.height
        return Camera(width, height, self.fx * sx, self.fy * sy, self.cx * sx, self.cy * sy)

    @property
    def matrix(self) -> Float64Array:  # [3, 3]
        """Intrinsic matrix K."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class ImageData:
    """A received colour image. rgb: [H, W, 3] uint8."""

    stamp_ns: int
    rgb: RgbImage


@dataclass(frozen=True)
class DepthData:
    """A received depth image, registered to the colour image.

    depth_m: [H, W] float32 along the optical axis, metres, 0 = no reading.
    """

    stamp_ns: int
    depth_m: FloatImage


@dataclass(frozen=True)
class MaskImage:
    """Masks that another node made of an image.

    stamp_ns: stamp of that image; labels: [H, W] int32 as in MaskProposal, but object numbers need not be consecutive.
    """

    stamp_ns: int
    labels: NDArray[np.int32]


@dataclass(frozen=True)
class PoseData:
    """A pose of the camera. T_map_camera: [4, 4]."""

    stamp_ns: int
    T_map_camera: Float64Array


@dataclass(frozen=True)
class SeedPoints:
    """Points on surfaces: the sparse cloud of a SLAM system or of COLMAP. points_map: [N, 3] float32, metres."""

    stamp_ns: int
    points_map: NDArray[np.float32]


@dataclass(frozen=True)
class NoiseOnly:
    """Report of the robot: from now on, only the robot itself makes sounds (on) or other sources may (not on)."""

    on: bool


@dataclass(frozen=True)
class AudioChunk:
    """Consecutive samples of all microphones. stamp_ns: of the first sample; samples: [S, M] float32 in [-1, 1]."""

    stamp_ns: int
    samples: NDArray[np.float32]


@dataclass(frozen=True)
class AudioFormat:
    """Format of the audio messages. sample_format: S16LE, S24LE, S32LE or F32LE; coding_format: WAVE."""

    sample_rate_hz: int
    channels: int
    sample_format: str
    coding_format: str


@dataclass(frozen=True)
class CameraFrame:
    """A frame: a colour image with camera, pose and depth.

    rgb: [H, W, 3] uint8; depth_m: [H, W] float32 along the optical axis, metres, 0 = no reading, None without a depth
    sensor; T_map_camera: [4, 4]; index: number of the received frame, from 0.
    """

    stamp_ns: int
    index: int
    camera: Camera
    rgb: RgbImage
    depth_m: FloatImage | None
    T_map_camera: Float64Array


@dataclass(frozen=True)
class AudioWindow:
    """An audio window with the pose of the array at its centre.

    stamp_ns: centre of the window; samples: [M, S] float32; T_map_array: [4, 4].
    """

    stamp_ns: int
    samples: NDArray[np.float32]
    sample_rate_hz: float
    T_map_array: Float64Array


@dataclass(frozen=True)
class Lobes:
    """Direction maps of tones from far sources in all directions, in the array frame.

    samples: [N, 3] unit vectors at which direction maps are compared; values: [B, K, U, N] direction maps of tones from
    the directions of U nodes on a cube, K frequencies per band, minus their mean over directions; means: [B, K] those
    means, averaged over the nodes; bands: [B] index of the band in the evidence; frequencies_hz: [B, K].
    """

    samples: NDArray[np.float32]
    values: NDArray[np.float32]
    means: Float64Array
    bands: NDArray[np.int64]
    frequencies_hz: Float64Array


@dataclass(frozen=True)
class SoundEvidence:
    """Evidence of one audio window about directions of arrival.

    stamp_ns: centre of the window; duration_s: its length; T_map_array: [4, 4] at the centre; directions_array: [D, 3]
    unit vectors in the array frame; energy: [B, D] float32, steered response power per band, >= 0, comparable between
    windows; bands_hz: [B, 2] lowest and highest frequency; activity: in [0, 1], share of the window above the noise
    floor; level_db: level of the window, dBFS.

    correlation: [P, L] float32, contribution of each pair of microphones (i < j, sorted by i) to the total energy at lags
    in steps of lag_step_s around zero, for sources in the near field; None if not computed. microphones_m: [M, 3]
    positions in the array frame; None if unknown or on a head. dimensions: dimensions that the microphones span, 1 for a
    pair or a line, 2 for a flat array, else 3. lobes: lobes of the array. spectrum: [B', K] share of each frequency of
    the lobes in the sound, sum 1 in each band of the lobes; None without lobes.
    """

    stamp_ns: int
    duration_s: float
    T_map_array: Float64Array
    directions_array: NDArray[np.float32]
    energy: NDArray[np.float32]
    bands_hz: Float64Array
    activity: float
    level_db: float
    correlation: NDArray[np.float32] | None = None
    lag_step_s: float = 0.0
    microphones_m: Float64Array | None = None
    dimensions: int = 3
    lobes: Lobes | None = None
    spectrum: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class MaskProposal:
    """The proposals of one keyframe: a label image with a score for each label.

    labels: [H, W] int32, may be smaller than the image; -1 = cannot be judged from this view, 0 = no object, 1..K =
    proposals; scores: [K] in [0, 1]; backend: mask backend that made them; names: [K] name of each proposal, () from a
    backend without names.
    """

    stamp_ns: int
    labels: NDArray[np.int32]
    scores: NDArray[np.float32]
    backend: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Box:
    """An oriented box in the map.

    center_m: [3]; size_m: [3] edge lengths along the axes of the box; quaternion_xyzw: [4] rotation of the box frame in
    the map.
    """

    center_m: Float64Array
    size_m: Float64Array
    quaternion_xyzw: Float64Array


@dataclass(frozen=True)
class Instance:
    """One object of the map, as a set of Gaussians.

    uids: [n] int64, ids of its Gaussians; points_map: [n, 3] float32, their centres, metres; rgb: [n, 3] uint8, their
    colours; position_m: [3] its position; views: number of keyframes that proposed it; confidence: agreement of these
    views, in [0, 1]; support: (stamp_ns, weight) of the most important views in order of time, weight in Gaussians,
    positive for a view that proposed the instance, negative for a view that had it in view and did not; names: (name,
    share of the views with this name), most frequent first, from mask backends with names.
    """

    id: int
    uids: NDArray[np.int64]
    points_map: NDArray[np.float32]
    rgb: NDArray[np.uint8]
    position_m: Float64Array
    box: Box
    views: int
    confidence: float
    support: tuple[tuple[int, float], ...] = ()
    names: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class MapSnapshot:
    """The map for other threads; immutable.

    surface_points: [S, 3] float32, a sample of the centres of all Gaussians, metres; surface_rgb: [S, 3] uint8;
    surface_instance: [S] int32, id of the instance that the point belongs to, -1 for none; gaussians: number of Gaussians
    of the map; metres_per_unit: metres of one map unit, nominal metres where the poses have no metric scale, None before
    the first frame.
    """

    stamp_ns: int
    instances: tuple[Instance, ...]
    surface_points: NDArray[np.float32]
    surface_rgb: NDArray[np.uint8]
    surface_instance: NDArray[np.int32]
    gaussians: int
    metres_per_unit: float | None = 1.0

    def instance(self, instance_id: int) -> Instance | None:
        """The instance with this id, None if the map does not have it any more."""
        return next((instance for instance in self.instances if instance.id == instance_id), None)


@dataclass(frozen=True)
class Interval:
    """A span of sensor time."""

    start_ns: int
    end_ns: int


@dataclass(frozen=True)
class MotionHint:
    """A motion of the robot that would decide an open question about the position of a source.

    kind: "move", "turn" (about the vertical) or "tilt"; from_map: [3] position of the array, metres; vector_map: [3] in
    the map, displacement in metres for a move, else rotation vector in radians; text: the hint in words with its reason.
    """

    kind: str
    from_map: Float64Array
    vector_map: Float64Array
    text: str


@dataclass(frozen=True)
class SoundSource:
    """A place that sounds. Its position is estimated from sound and is not moved to an object.

    position_m: [3]; covariance_m2: [3, 3]; activity: share of the heard energy in [0, 1]; object_id: instance it is
    assigned to, None = elsewhere; candidates: (instance id or None for elsewhere, probability), most probable first, sum
    1; heard_intervals: in order of time; alternatives: (probability, [3] position) of every place that explains the
    evidence, most probable first (a flat array cannot tell a source from its mirror image, a pair has a cone of
    directions); hint: motion that would decide between them, None if no question is open; label: words for the sound,
    "" = unknown.
    """

    id: int
    position_m: Float64Array
    covariance_m2: Float64Array
    activity: float
    object_id: int | None
    candidates: tuple[tuple[int | None, float], ...]
    heard_intervals: tuple[Interval, ...]
    alternatives: tuple[tuple[float, Float64Array], ...] = ()
    hint: MotionHint | None = None
    label: str = ""


@dataclass(frozen=True)
class SoundingObject:
    """The published result: an instance judged to sound. probability: in [0, 1]; label: words for the object."""

    instance: Instance
    source: SoundSource
    probability: float
    label: str


@dataclass(frozen=True)
class Verdict:
    """All sources after an audio window and the instances they were assigned to.

    stamp_ns: centre of the window; window_end_ns: its end; sounding: the sources that are assigned to an instance.
    """

    stamp_ns: int
    window_end_ns: int
    sources: tuple[SoundSource, ...] = field(default=())
    sounding: tuple[SoundingObject, ...] = field(default=())
