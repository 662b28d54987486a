"""Microphone arrays: positions of the microphones, wiring of the channels, delays of near and far sounds.

The microphone positions are given in the array frame; `T_camera_array` takes its points into the camera's optical frame.
Far-field delays are those of a plane wave or, with a head between two ears, of Woodworth's spherical head, around which
the wave follows the great arc to the hidden ear (Woodworth & Schlosberg 1954).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from echoseg_ros.errors import ArrayError
from echoseg_ros.installed_files import config_file, config_folders
from echoseg_ros.sound.array.head_delays import measured_delays_s, sphere_path_m
from echoseg_ros.types import Float64Array

SPEED_OF_SOUND_M_PER_S = 343.0
# Number of microphones.
MIN_MICROPHONES = 2
MAX_MICROPHONES = 16
# Least distance of two microphones, and of an ear from the centre of its head.
MIN_SPACING_M = 1e-3
# Sample rates.
MIN_SAMPLE_RATE_HZ = 1000.0
MAX_SAMPLE_RATE_HZ = 384_000.0
# Radius of a spherical head.
MIN_HEAD_RADIUS_M = 0.02
MAX_HEAD_RADIUS_M = 0.5
# Radius of a human head: used for near sounds where the head is given by a SOFA file.
DEFAULT_HEAD_RADIUS_M = 0.0875
# Factor on the delays by the shortest path around a sphere: low frequencies take longer, up to 1.5 times (Kuhn 1977).
SPHERE_DELAY_FACTOR = 1.07

# Keys of an array file.
_KEYS = {"name", "sample_rate_hz", "microphones_m", "channel_order", "gains_db", "delays_s", "T_camera_array", "head"}


@dataclass(frozen=True)
class Head:
    """A head between two ears: a rigid sphere (radius_m) or measured responses (sofa). Exactly one of the two is set."""

    radius_m: float | None = None
    sofa: Path | None = None


@dataclass(frozen=True)
class ArrayGeometry:
    """A checked array. Raises ArrayError for values that cannot be an array.

    microphones_m: [M, 3] in the array frame; channel_order: [M] audio channel of each microphone; gains_db: [M] excess gain
    of each microphone; delays_s: [M] delay of its channel (gains and delays are compensated when audio arrives);
    T_camera_array: [4, 4]; head: between two ears, None without one.
    """

    name: str
    sample_rate_hz: float
    microphones_m: Float64Array
    channel_order: NDArray[np.int64]
    gains_db: Float64Array
    delays_s: Float64Array
    T_camera_array: Float64Array
    head: Head | None = None

    def __post_init__(self) -> None:
        _check(self)

    @property
    def microphones(self) -> int:
        """Number of microphones."""
        return len(self.microphones_m)

    @property
    def channels(self) -> int:
        """Least number of channels that the audio needs."""
        return int(self.channel_order.max()) + 1

    def at_camera_origin(self) -> ArrayGeometry:
        """The same array without its offset from the camera, for poses without a metric scale."""
        rotation_only = np.eye(4)
        rotation_only[:3, :3] = self.T_camera_array[:3, :3]
        return replace(self, T_camera_array=rotation_only)

    def check_channel_count(self, channels: int) -> None:
        """Raises ArrayError if audio with this number of channels cannot come from this array.

        Audio may have more channels than the array has microphones only if channel_order selects among them.
        """
        fits = channels == self.channels if self.channels == self.microphones else channels >= self.channels
        if not fits:
            raise ArrayError(
                f"array {self.name!r} has {self.microphones} microphones on channels up to {self.channels - 1}, "
                f"the audio has {channels} channels: want {self.channels}"
            )

    def far_field_delays_s(self, directions: NDArray[np.floating[Any]]) -> Float64Array:
        """[D, M] arrival of a far sound at each microphone, in seconds after (+) or before (-) the array's origin.

        directions: [D, 3] unit vectors from the array towards the sound, array frame.
        """
        unit: Float64Array = np.asarray(directions, dtype=np.float64)
        if self.head is None:
            delays_s: Float64Array = -(unit @ self.microphones_m.T) / SPEED_OF_SOUND_M_PER_S
            return delays_s
        return self._head_delays(unit)

    def near_field_delays_s(self, points: NDArray[np.floating[Any]]) -> Float64Array:
        """[N, M] arrival of a near sound at each microphone, in seconds after (+) or before (-) the array's origin.

        points: [N, 3] metres, array frame. Waves are spherical. With a spherical head the wave takes the shortest path
        around it; with measured responses the near-field change of a sphere's delays is added to the far-field delays.
        """
        places: Float64Array = np.asarray(points, dtype=np.float64)
        distances_m: Float64Array = np.linalg.norm(places, axis=1, keepdims=True)
        if self.head is None:
            paths_m: Float64Array = np.linalg.norm(places[:, None] - self.microphones_m, axis=2)
            return (paths_m - distances_m) / SPEED_OF_SOUND_M_PER_S
        radius_m, ears = self.head.radius_m or DEFAULT_HEAD_RADIUS_M, self._ear_directions()
        near_s = SPHERE_DELAY_FACTOR * sphere_path_m(places, ears, radius_m) / SPEED_OF_SOUND_M_PER_S
        if self.head.sofa is None:
            return near_s
        unit = places / np.maximum(distances_m, 1e-9)
        return self.far_field_delays_s(unit) + near_s - _sphere_delays(unit, ears, radius_m)

    def _ear_directions(self) -> Float64Array:
        """[2, 3] unit vectors from the centre of the head towards the ears."""
        distances_m: Float64Array = np.linalg.norm(self.microphones_m, axis=1, keepdims=True)
        return self.microphones_m / distances_m

    def _head_delays(self, directions: Float64Array) -> Float64Array:
        assert self.head is not None
        if self.head.sofa is not None:
            return measured_delays_s(self.head.sofa, self._ear_directions(), directions)
        return _sphere_delays(directions, self._ear_directions(), self.head.radius_m or DEFAULT_HEAD_RADIUS_M)


def _sphere_delays(directions: Float64Array, ears: Float64Array, radius_m: float) -> Float64Array:
    """[D, M] delays around a sphere: straight to a visible ear, else along the arc to the hidden one."""
    cosine = np.clip(directions @ ears.T, -1.0, 1.0)
    hidden_arc = np.arccos(cosine) - np.pi / 2
    path_radii: Float64Array = np.where(cosine >= 0, -cosine, hidden_arc)
    return SPHERE_DELAY_FACTOR * radius_m / SPEED_OF_SOUND_M_PER_S * path_radii


def array_from_frames(
    T_camera_microphone: Sequence[Float64Array], sample_rate_hz: float, name: str = "frames",
    T_camera_array: Float64Array | None = None, **wiring: Any,
) -> ArrayGeometry:  # fmt: skip
    """An array from the pose of each microphone, [4, 4] in the camera frame.

    Without T_camera_array [4, 4] the array frame has the camera's axes and lies at the mean of the microphones. wiring:
    channel_order, gains_db, delays_s, as in an array file. Raises ArrayError.
    """
    frames = [np.asarray(frame, dtype=float) for frame in T_camera_microphone]
    for frame in frames:
        _check_rigid(frame)
    places_m = np.array([frame[:3, 3] for frame in frames]).reshape(-1, 3)
    if T_camera_array is None:
        T_camera_array = np.eye(4)
        T_camera_array[:3, 3] = places_m.mean(axis=0) if len(places_m) else 0.0
    in_array_m = (places_m - T_camera_array[:3, 3]) @ T_camera_array[:3, :3]
    content = {"name": name, "sample_rate_hz": sample_rate_hz, "T_camera_array": T_camera_array.tolist(), **wiring}
    return array_from_mapping(content | {"microphones_m": in_array_m.tolist()})


def load_array(name_or_path: str | Path) -> ArrayGeometry:
    """The array of an installed name ("cube8") or of a YAML file. Raises ArrayError."""
    path = _array_file(name_or_path)
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ArrayError(f"array file {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ArrayError(f"array file {path}: not YAML ({str(error).splitlines()[0]})") from error
    if not isinstance(content, dict):
        raise ArrayError(f"array file {path}: want a mapping with {', '.join(sorted(_KEYS))}")
    try:
        return array_from_mapping(content, path)
    except ArrayError as error:
        raise ArrayError(f"array file {path}: {error}") from error


def array_from_mapping(content: dict[str, Any], path: Path = Path("array.yaml")) -> ArrayGeometry:
    """An array from the content of an array file; `path` resolves a relative SOFA file. Raises ArrayError."""
    unknown = sorted(set(content) - _KEYS)
    if unknown:
        raise ArrayError(f"unknown key {unknown[0]!r}; keys are {', '.join(sorted(_KEYS))}")
    for key in ("sample_rate_hz", "microphones_m"):
        if key not in content:
            raise ArrayError(f"{key} is missing")
    microphones_m = _numbers(content["microphones_m"], "microphones_m")
    count = len(microphones_m) if microphones_m.ndim else 0
    return ArrayGeometry(
        name=str(content.get("name", path.stem)),
        sample_rate_hz=float(_numbers(content["sample_rate_hz"], "sample_rate_hz")),
        microphones_m=microphones_m,
        channel_order=_integers(content.get("channel_order") or list(range(count)), "channel_order"),
        gains_db=_numbers(content.get("gains_db") or [0.0] * count, "gains_db"),
        delays_s=_numbers(content.get("delays_s") or [0.0] * count, "delays_s"),
        T_camera_array=_numbers(content.get("T_camera_array") or np.eye(4).tolist(), "T_camera_array"),
        head=_head(content.get("head"), path),
    )


def array_to_mapping(array: ArrayGeometry) -> dict[str, Any]:
    """The content of an array file for this array, as `array_from_mapping` reads it."""
    content: dict[str, Any] = {
        "name": array.name,
        "sample_rate_hz": float(array.sample_rate_hz),
        "microphones_m": array.microphones_m.tolist(),
        "channel_order": array.channel_order.tolist(),
        "gains_db": array.gains_db.tolist(),
        "delays_s": array.delays_s.tolist(),
        "T_camera_array": array.T_camera_array.tolist(),
    }
    if array.head is not None:
        content["head"] = (
            {"radius_m": array.head.radius_m} if array.head.sofa is None else {"sofa": str(array.head.sofa.resolve())}
        )
    return content


def array_names() -> tuple[str, ...]:
    """Names of the installed arrays, which `load_array` takes."""
    return tuple(sorted({path.stem for folder in config_folders() for path in (folder / "arrays").glob("*.yaml")}))


def _array_file(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        return path
    installed = config_file(f"arrays/{path}.yaml")
    if installed is None:
        raise ArrayError(f"unknown array {str(path)!r}: want one of {', '.join(array_names())} or a YAML file")
    return installed


def _numbers(value: Any, key: str) -> Float64Array:
    try:
        return np.asarray(value, dtype=float)
    except (TypeError, ValueError) as error:
        raise ArrayError(f"{key} = {value!r}: want numbers in rows of equal length") from error


def _integers(value: Any, key: str) -> NDArray[np.int64]:
    numbers = _numbers(value, key)
    if not np.isfinite(numbers).all() or (numbers != np.round(numbers)).any():
        raise ArrayError(f"{key} = {value!r}: want whole numbers")
    return numbers.astype(np.int64)


def _head(value: Any, path: Path) -> Head | None:
    if value is None:
        return None
    if isinstance(value, dict) and len(value) == 1:
        ((kind, value),) = value.items()
        if kind not in ("radius_m", "sofa"):
            raise ArrayError(f"head has key {kind!r}: want radius_m or sofa")
    if isinstance(value, str):
        return Head(sofa=path.parent / value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Head(radius_m=float(value))
    raise ArrayError(f"head = {value!r}: want a radius in metres or a SOFA file")


def _check(array: ArrayGeometry) -> None:
    rate_hz = array.sample_rate_hz
    if not (np.isfinite(rate_hz) and MIN_SAMPLE_RATE_HZ <= rate_hz <= MAX_SAMPLE_RATE_HZ):
        raise ArrayError(f"sample_rate_hz = {rate_hz}: want {MIN_SAMPLE_RATE_HZ:.0f} to {MAX_SAMPLE_RATE_HZ:.0f}")
    _check_microphones(array.microphones_m)
    _check_channels(array)
    _check_rigid(array.T_camera_array)
    if array.head is not None:
        _check_head(array)


def _check_microphones(microphones_m: Float64Array) -> None:
    if microphones_m.ndim != 2 or microphones_m.shape[1] != 3:
        raise ArrayError(f"microphones_m has shape {list(microphones_m.shape)}: want one [x, y, z] for each microphone")
    if not MIN_MICROPHONES <= len(microphones_m) <= MAX_MICROPHONES:
        raise ArrayError(f"{len(microphones_m)} microphones: want {MIN_MICROPHONES} to {MAX_MICROPHONES}")
    if not np.isfinite(microphones_m).all():
        raise ArrayError(f"microphones_m = {microphones_m.tolist()}: want finite numbers")
    for i, j in zip(*np.triu_indices(len(microphones_m), 1), strict=True):
        if np.linalg.norm(microphones_m[i] - microphones_m[j]) < MIN_SPACING_M:
            raise ArrayError(f"microphones {i} and {j} are both at {microphones_m[i].tolist()}: want different places")


def _check_channels(array: ArrayGeometry) -> None:
    count = array.microphones
    for key in ("channel_order", "gains_db", "delays_s"):
        values = getattr(array, key)
        if values.shape != (count,):
            raise ArrayError(f"{key} has shape {list(values.shape)}: want one value for each of {count} microphones")
        if not np.isfinite(values).all():
            raise ArrayError(f"{key} = {values.tolist()}: want finite numbers")
    order = array.channel_order
    if order.min() < 0 or len(set(order.tolist())) != count:
        raise ArrayError(f"channel_order = {order.tolist()}: want one channel of its own for each microphone, from 0")


def _check_rigid(T_camera_array: Float64Array) -> None:
    if T_camera_array.shape != (4, 4) or not np.isfinite(T_camera_array).all():
        raise ArrayError(f"T_camera_array = {T_camera_array.tolist()}: want 4 x 4 finite numbers")
    rotation = T_camera_array[:3, :3]
    orthonormal = np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3) and np.linalg.det(rotation) > 0
    if not orthonormal or not np.allclose(T_camera_array[3], [0, 0, 0, 1], atol=1e-6):
        raise ArrayError(f"T_camera_array = {T_camera_array.tolist()}: want a rotation and a translation (rigid)")


def _check_head(array: ArrayGeometry) -> None:
    head = array.head
    assert head is not None
    if array.microphones != 2:
        raise ArrayError(f"a head with {array.microphones} microphones: want 2 ears")
    radius_m = head.radius_m
    if radius_m is not None and not (np.isfinite(radius_m) and MIN_HEAD_RADIUS_M <= radius_m <= MAX_HEAD_RADIUS_M):
        raise ArrayError(f"head radius {radius_m} m: want {MIN_HEAD_RADIUS_M} to {MAX_HEAD_RADIUS_M}")
    if (np.linalg.norm(array.microphones_m, axis=1) < MIN_SPACING_M).any():
        raise ArrayError("an ear lies at the centre of the head: want microphones_m relative to that centre")
