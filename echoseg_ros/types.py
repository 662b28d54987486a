"""What travels between the stages: frozen, stamped, in a named frame.

Units are SI; stamps are integer nanoseconds of sensor time; `T_a_b` takes points of frame b into frame a
(`p_a = T_a_b @ p_b`). The camera frame is the optical one: x right, y down, z forward. The map frame is level, z up.
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

# Stamps that fall back by more than this mean that a recording starts again, not that a message came late.
BACKWARD_JUMP_NS = 1_000_000_000


def is_backward_jump(stamp_ns: int, newest_ns: int | None) -> bool:
    """Whether a stamp says that a recording starts again."""
    return newest_ns is not None and stamp_ns < newest_ns - BACKWARD_JUMP_NS


@dataclass(frozen=True)
class Camera:
    """Pinhole intrinsics in pixels, without distortion; pixel centres lie at +0.5."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def resized(self, width: int, height: int) -> Camera:
        """The same camera read out at another resolution."""
        sx, sy = width / self.width, height / self.height
        return Camera(width, height, self.fx * sx, self.fy * sy, self.cx * sx, self.cy * sy)

    @property
    def matrix(self) -> Float64Array:  # [3, 3]
        """K of the pinhole model."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class ImageData:
    """A colour image as it arrives. rgb: [H, W, 3] uint8."""

    stamp_ns: int
    rgb: RgbImage


@dataclass(frozen=True)
class DepthData:
    """A depth image as it arrives, registered to the colour image. depth_m: [H, W] float32 along the optical axis, 0 = none."""

    stamp_ns: int
    depth_m: FloatImage


@dataclass(frozen=True)
class MaskImage:
    """Masks that another node made of an image. stamp_ns: the image's; labels: [H, W] int32 as in MaskProposal, any numbers."""

    stamp_ns: int
    labels: NDArray[np.int32]


@dataclass(frozen=True)
class PoseData:
    """Where the camera was. T_map_camera: [4, 4]."""

    stamp_ns: int
    T_map_camera: Float64Array


@dataclass(frozen=True)
class SeedPoints:
    """Points known to lie on surfaces: the sparse cloud of a SLAM or of COLMAP. points_map: [N, 3] float32."""

    stamp_ns: int
    points_map: NDArray[np.float32]


@dataclass(frozen=True)
class NoiseOnly:
    """From now on nothing sounds but the robot itself (on), or something else may (not on). As the robot knows it."""

    on: bool


@dataclass(frozen=True)
class AudioChunk:
    """Consecutive samples of all microphones. stamp_ns: time of the first sample; samples: [S, M] float32 in [-1, 1]."""

    stamp_ns: int
    samples: NDArray[np.float32]


@dataclass(frozen=True)
class AudioFormat:
    """What the audio messages hold."""

    sample_rate_hz: int
    channels: int
    sample_format: str
    coding_format: str


@dataclass(frozen=True)
class CameraFrame:
    """A posed image, ready for the map.

    rgb: [H, W, 3] uint8; depth_m: [H, W] float32 along the optical axis, 0 = none, or None without a depth sensor;
    index counts received frames from 0.
    """

    stamp_ns: int
    index: int
    camera: Camera
    rgb: RgbImage
    depth_m: FloatImage | None
    T_map_camera: Float64Array


@dataclass(frozen=True)
class AudioWindow:
    """One analysis window with the array's pose at its centre.

    stamp_ns: the window's centre; samples: [M, S] float32; T_map_array: [4, 4].
    """

    stamp_ns: int
    samples: NDArray[np.float32]
    sample_rate_hz: float
    T_map_array: Float64Array


@dataclass(frozen=True)
class Lobes:
    """How far sounds show in an array's direction maps (sound.lobes), in its frame.

    samples: [N, 3] directions at which maps are compared; values: [B, K, U, N] the maps of tones from the U nodes of
    a cube, K frequencies a band, less their mean over directions; means: [B, K] those means, over sounds from everywhere;
    bands: [B] which of the evidence's bands these are; frequencies_hz: [B, K].
    """

    samples: NDArray[np.float32]
    values: NDArray[np.float32]
    means: Float64Array
    bands: NDArray[np.int64]
    frequencies_hz: Float64Array


@dataclass(frozen=True)
class SoundEvidence:
    """What one window says about directions.

    stamp_ns: the window's centre; duration_s: the window's length; directions_array: [D, 3] unit vectors in the array
    frame; energy: [B, D] float32, steered power per band, >= 0, comparable between windows; bands_hz: [B, 2];
    activity in [0, 1]: how much the window stands out of the noise floor; level_db: dBFS of the window.
    correlation: [P, L] float32, for each pair of microphones (i < j, i first) what it adds to the total energy at lags of
    lag_step_s around zero, for places too near for plane waves; None if the evidence came without it. microphones_m: [M, 3]
    in the array frame, None if they are unknown or on a head. dimensions: that the microphones span: 1 for a pair or a
    line, 2 for a flat array, else 3. spectrum: [B', K] what sounds at each of the
    frequencies of the lobes, sum 1 in each of their bands; None without lobes.
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
    """Candidate objects in one keyframe: a label image and how much each label is to be trusted.

    labels: [H, W] int32, -1 = cannot be judged from here, 0 = no object, 1..K = proposals; scores: [K] in [0, 1]. May be
    smaller than the image. names: [K] what each shows, () from a backend that does not know.
    """

    stamp_ns: int
    labels: NDArray[np.int32]
    scores: NDArray[np.float32]
    backend: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Box:
    """An oriented box in the map. center_m, size_m: [3]; quaternion_xyzw: [4], rotation of the box frame in the map."""

    center_m: Float64Array
    size_m: Float64Array
    quaternion_xyzw: Float64Array


@dataclass(frozen=True)
class Instance:
    """One object of the map, as the Gaussians that make it up.

    uids: [n] int64, ids of its Gaussians in the map; points_map: [n, 3] float32 their centres, metres; rgb: [n, 3] uint8;
    views: keyframes that proposed it; confidence in [0, 1]: how well those views agree; support: (stamp_ns, weight) of
    the views that said most about it, in order of time, weight in Gaussians: positive where it was proposed, negative
    where it was in view and was not. names: (what it is, share of the views that said so), most said first, from mask
    backends that know names.
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
    """The map as other threads may see it: never changed after it was made.

    surface_points: [S, 3] float32 a decimated sample of all Gaussian centres, metres; surface_rgb: [S, 3] uint8;
    surface_instance: [S] int32, id of the instance a point belongs to, -1 for none; gaussians: how many the map holds;
    metres_per_unit: metres of one map unit, nominal ones where the poses have no metric scale, None before anything is seen.
    """

    stamp_ns: int
    instances: tuple[Instance, ...]
    surface_points: NDArray[np.float32]
    surface_rgb: NDArray[np.uint8]
    surface_instance: NDArray[np.int32]
    gaussians: int
    metres_per_unit: float | None = 1.0

    def instance(self, instance_id: int) -> Instance | None:
        """The instance of that id, if the map still has it."""
        return next((instance for instance in self.instances if instance.id == instance_id), None)


@dataclass(frozen=True)
class Interval:
    """A span of sensor time."""

    start_ns: int
    end_ns: int


@dataclass(frozen=True)
class MotionHint:
    """What the robot should do so that it becomes clear where a sound is.

    kind: "move", "turn" (about the vertical) or "tilt"; from_map: [3] where the array is; vector_map: [3] in the map,
    metres to move, or the axis to turn about times radians; text: the same in words, with the reason.
    """

    kind: str
    from_map: Float64Array
    vector_map: Float64Array
    text: str


@dataclass(frozen=True)
class SoundSource:
    """A place that sounds, before any snapping to an object.

    position_m: [3]; covariance_m2: [3, 3]; activity: share of the heard energy in [0, 1]; object_id: the instance it is
    assigned to, None = elsewhere; candidates: (instance id or None for elsewhere, probability), best first, sums to 1;
    alternatives: (probability, [3] position) of every place that fits, the likeliest first (a flat array hears a mirror
    image, a pair a whole cone); hint: how to find out, None where nothing is open; label: what it sounds like, "" = unknown.
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
    """An instance judged to sound: what the whole package is for."""

    instance: Instance
    source: SoundSource
    probability: float
    label: str


@dataclass(frozen=True)
class Verdict:
    """What is believed after an audio window: all sources, and the objects among them."""

    stamp_ns: int
    window_end_ns: int
    sources: tuple[SoundSource, ...] = field(default=())
    sounding: tuple[SoundingObject, ...] = field(default=())
