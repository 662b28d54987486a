"""Decoding of ROS messages of rosbags and of rclpy, which have the same field names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from echoseg_ros.errors import AudioFormatError, CloudFormatError, ImageFormatError
from echoseg_ros.geometry import transform_from_quaternion
from echoseg_ros.types import AudioFormat, Camera, Float64Array, FloatImage, RgbImage

# The centre of the first pixel is (0, 0) in ROS and (0.5, 0.5) in this package.
ROS_PIXEL_OFFSET_PX = 0.5

# Colour images by encoding: channels, bytes per channel, conversion to RGB (None: none).
_COLOUR_ENCODINGS: dict[str, tuple[int, int, int | None]] = {
    "rgb8": (3, 1, None),
    "8uc3": (3, 1, cv2.COLOR_BGR2RGB),
    "bgr8": (3, 1, cv2.COLOR_BGR2RGB),
    "rgba8": (4, 1, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, 1, cv2.COLOR_BGRA2RGB),
    "8uc4": (4, 1, cv2.COLOR_BGRA2RGB),
    "mono8": (1, 1, cv2.COLOR_GRAY2RGB),
    "8uc1": (1, 1, cv2.COLOR_GRAY2RGB),
    "mono16": (1, 2, cv2.COLOR_GRAY2RGB),
    "bayer_rggb8": (1, 1, cv2.COLOR_BAYER_BG2RGB),
    "bayer_bggr8": (1, 1, cv2.COLOR_BAYER_RG2RGB),
    "bayer_gbrg8": (1, 1, cv2.COLOR_BAYER_GR2RGB),
    "bayer_grbg8": (1, 1, cv2.COLOR_BAYER_GB2RGB),
    "yuv422": (2, 1, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": (2, 1, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": (2, 1, cv2.COLOR_YUV2RGB_YUYV),
    "yuyv": (2, 1, cv2.COLOR_YUV2RGB_YUYV),
}

# Depth images by encoding: numpy type, metres per unit.
_DEPTH_ENCODINGS: dict[str, tuple[str, float]] = {
    "16uc1": ("u2", 0.001),
    "mono16": ("u2", 0.001),
    "32fc1": ("f4", 1.0),
    "64fc1": ("f8", 1.0),
}

# Mask images by encoding: numpy type, value for "cannot be judged". 8-bit images have none: they are often one object
# of value 255.
_MASK_ENCODINGS: dict[str, tuple[str, int | None]] = {
    "16uc1": ("u2", 65535),
    "mono16": ("u2", 65535),
    "16sc1": ("i2", None),
    "32sc1": ("i4", None),
    "mono8": ("u1", None),
    "8uc1": ("u1", None),
}

# Audio by sample format: bytes per sample, scale to [-1, 1].
_SAMPLE_FORMATS: dict[str, tuple[int, float]] = {
    "S16LE": (2, 2.0**-15),
    "S24LE": (3, 2.0**-23),
    "S32LE": (4, 2.0**-31),
    "F32LE": (4, 1.0),
}

# numpy type by the datatype number of sensor_msgs/PointField.
_POINT_FIELDS: dict[int, str] = {7: "f4", 8: "f8"}

# Length of the header that compressed_depth_image_transport puts before the PNG, bytes.
_COMPRESSED_DEPTH_HEADER_BYTES = 12


def stamp_ns(header: Any) -> int:
    """Stamp of a header in nanoseconds."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)


def decode_image(message: Any) -> RgbImage:
    """[H, W, 3] uint8 RGB of an Image or CompressedImage. Raises ImageFormatError.

    The result is writable and may share memory with the message.
    """
    if hasattr(message, "format"):
        return decode_compressed(message)
    encoding = str(message.encoding).lower()
    if encoding not in _COLOUR_ENCODINGS:
        raise ImageFormatError(f"image encoding {message.encoding!r}: want one of {_in_words(_COLOUR_ENCODINGS)}")
    channels, item_bytes, conversion = _COLOUR_ENCODINGS[encoding]
    pixels = _pixels(message, channels, f"u{item_bytes}", "image")
    if item_bytes == 2:
        pixels = (pixels >> 8).astype(np.uint8)
    if conversion is None:
        return pixels if pixels.flags.writeable else pixels.copy()  # torch refuses read-only memory
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), conversion), np.uint8)


def decode_compressed(message: Any) -> RgbImage:
    """[H, W, 3] uint8 RGB of a CompressedImage (JPEG, PNG). Raises ImageFormatError."""
    image = _imdecode(message, np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def decode_depth(message: Any) -> FloatImage:
    """[H, W] float32 metres, 0 = no reading, of an Image (16UC1 mm, 32FC1 m) or a compressed 16UC1.

    Raises ImageFormatError.
    """
    if hasattr(message, "format"):
        return _decode_compressed_depth(message)
    encoding = str(message.encoding).lower()
    if encoding not in _DEPTH_ENCODINGS:
        raise ImageFormatError(f"depth encoding {message.encoding!r}: want 16UC1 (millimetres) or 32FC1 (metres)")
    kind, unit_m = _DEPTH_ENCODINGS[encoding]
    depth_m: FloatImage = _pixels(message, 1, kind, "depth").astype(np.float32)
    if unit_m != 1.0:
        scaled_m: FloatImage = depth_m * np.float32(unit_m)
        return scaled_m
    return np.where(np.isfinite(depth_m) & (depth_m > 0), depth_m, np.float32(0))


def _decode_compressed_depth(message: Any) -> FloatImage:
    data = np.frombuffer(message.data, np.uint8)
    if "compressedDepth" in str(message.format):
        data = data[_COMPRESSED_DEPTH_HEADER_BYTES:]
    depth = _imdecode(message, data, cv2.IMREAD_UNCHANGED)
    if depth.dtype != np.uint16 or depth.ndim != 2:
        raise ImageFormatError(
            f"compressed depth {message.format!r} holds {depth.dtype}: want 16-bit PNG in millimetres"
        )
    depth_m: FloatImage = depth.astype(np.float32) * np.float32(0.001)
    return depth_m


def _in_words(encodings: Iterable[str]) -> str:
    """Encodings as ROS writes them: 8UC3, but rgb8."""
    return ", ".join(name.upper() if name[0].isdigit() else name for name in encodings)


def decode_masks(message: Any) -> NDArray[np.int32]:
    """[H, W] int32 labels of an Image: 0 = no object, > 0 = number of an object, -1 = cannot be judged.

    -1 is coded as 65535 in 16UC1 and mono16, as any negative number in 16SC1 and 32SC1, and does not occur in mono8 and
    8UC1. Raises ImageFormatError.
    """
    encoding = str(message.encoding).lower()
    if encoding not in _MASK_ENCODINGS:
        raise ImageFormatError(f"masks encoding {message.encoding!r}: want one of {_in_words(_MASK_ENCODINGS)}")
    kind, unjudged = _MASK_ENCODINGS[encoding]
    labels = _pixels(message, 1, kind, "masks").astype(np.int32)
    return np.where(labels == unjudged, np.int32(-1), np.maximum(labels, -1))


def _imdecode(message: Any, data: NDArray[np.uint8], flags: int) -> NDArray[Any]:
    """The image in the bytes of a compressed message. Raises ImageFormatError."""
    image = cv2.imdecode(data, flags) if len(data) else None
    if image is None:
        raise ImageFormatError(f"compressed image of {len(data)} bytes, format {message.format!r}, cannot be decoded")
    return image


def _pixels(message: Any, channels: int, kind: str, what: str) -> NDArray[Any]:
    """[H, W] or [H, W, channels] pixels of an Image without the padding of its rows. Raises ImageFormatError."""
    width, height, step = int(message.width), int(message.height), int(message.step)
    size = f"{what} of {width}x{height} {message.encoding}"
    if width <= 0 or height <= 0:
        raise ImageFormatError(f"{size}: want at least one pixel")
    dtype = np.dtype(kind).newbyteorder(">" if message.is_bigendian else "<")
    row_bytes = width * channels * dtype.itemsize
    step = step or row_bytes
    data = np.frombuffer(message.data, np.uint8)
    if step < row_bytes or len(data) < step * (height - 1) + row_bytes:
        raise ImageFormatError(f"{size} holds {len(data)} bytes, step {step}: want {row_bytes} bytes a row")
    if step != row_bytes:
        data = np.pad(data, (0, max(0, step * height - len(data))))[: step * height].reshape(height, step)[
            :, :row_bytes
        ]
    shape = (height, width) if channels == 1 else (height, width, channels)
    pixels: NDArray[Any] = np.ascontiguousarray(data.ravel()[: row_bytes * height]).view(dtype).reshape(shape)
    return pixels


def decode_camera_info(message: Any) -> Camera:
    """Intrinsics of a CameraInfo from its K; distortion is ignored. Raises ImageFormatError."""
    k = np.asarray(getattr(message, "k", ()), dtype=float).ravel()
    width, height = int(message.width), int(message.height)
    if width <= 0 or height <= 0 or k.shape != (9,) or not np.isfinite(k).all() or k[0] <= 0 or k[4] <= 0:
        raise ImageFormatError(f"camera_info {width}x{height}, k {k.tolist()}: want a calibrated camera (fx, fy > 0)")
    return Camera(width, height, k[0], k[4], k[2] + ROS_PIXEL_OFFSET_PX, k[5] + ROS_PIXEL_OFFSET_PX)


def decode_audio_info(message: Any) -> AudioFormat:
    """Format of the audio of an AudioInfo. Raises AudioFormatError for compressed coding or an unknown sample format."""
    coding, sample_format = str(message.coding_format), str(message.sample_format).upper()
    if coding.upper() not in ("WAVE", "WAV", "PCM", "RAW"):
        raise AudioFormatError(f"coding_format {coding} has no phase: set format to wave")
    if sample_format not in _SAMPLE_FORMATS:
        raise AudioFormatError(f"sample_format {message.sample_format!r}: want one of {', '.join(_SAMPLE_FORMATS)}")
    channels, rate_hz = int(message.channels), int(message.sample_rate)
    if channels < 1 or rate_hz < 1:
        raise AudioFormatError(f"audio_info of {channels} channels at {rate_hz} Hz: want at least 1 of both")
    return AudioFormat(rate_hz, channels, sample_format, "WAVE")


def decode_audio(data: Any, audio_format: AudioFormat) -> NDArray[np.float32]:
    """[S, M] float32 in [-1, 1] of interleaved bytes (any object with the buffer protocol). Raises AudioFormatError."""
    width, scale = _SAMPLE_FORMATS[audio_format.sample_format]
    raw = np.frombuffer(data, np.uint8)
    frame_bytes = width * audio_format.channels
    if len(raw) == 0 or len(raw) % frame_bytes:
        raise AudioFormatError(
            f"audio message of {len(raw)} bytes: want a multiple of {frame_bytes} "
            f"({audio_format.channels} channels of {audio_format.sample_format})"
        )
    if audio_format.sample_format == "F32LE":
        samples = raw.view("<f4").astype(np.float32)
        if not np.isfinite(samples).all():
            raise AudioFormatError("audio message holds NaN or infinite samples: want finite numbers")
    else:
        samples = _integers(raw, width).astype(np.float32) * np.float32(scale)
    return samples.reshape(-1, audio_format.channels)


def _integers(raw: NDArray[np.uint8], width: int) -> NDArray[Any]:
    """Signed little-endian integers of `width` bytes."""
    if width != 3:
        return raw.view(f"<i{width}")
    # Three bytes in the upper part of an int32: the shift back extends the sign.
    wide = np.zeros((len(raw) // 3, 4), np.uint8)
    wide[:, 1:] = raw.reshape(-1, 3)
    return wide.view("<i4").ravel() >> 8


def encode_s16le(samples: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Interleaved S16LE bytes of samples [S, M]; samples outside of [-1, 1] are clipped."""
    return np.clip(np.round(samples * 2.0**15), -(2**15), 2**15 - 1).astype("<i2").ravel().view(np.uint8)


def decode_points(message: Any) -> NDArray[np.float32]:
    """[N, 3] float32 of the fields x, y, z (float32 or float64) of a PointCloud2, without points that are not finite.

    Raises CloudFormatError.
    """
    fields = {field.name: field for field in message.fields if int(field.datatype) in _POINT_FIELDS}
    missing = [axis for axis in "xyz" if axis not in fields]
    if missing:
        raise CloudFormatError(f"point cloud without float field {', '.join(missing)}: want x, y, z")
    step, row_step = int(message.point_step), int(message.row_step)
    width, height = int(message.width), int(message.height)
    kinds = [
        np.dtype(_POINT_FIELDS[int(fields[a].datatype)]).newbyteorder(">" if message.is_bigendian else "<")
        for a in "xyz"
    ]
    offsets = [int(fields[axis].offset) for axis in "xyz"]
    row_step = max(row_step, step * width)
    data = np.frombuffer(message.data, np.uint8)
    if any(at + kind.itemsize > step for at, kind in zip(offsets, kinds)) or len(data) < row_step * height:
        raise CloudFormatError(f"point cloud of {width}x{height} points of {step} bytes holds {len(data)} bytes")
    rows = data[: row_step * height].reshape(height, row_step)[:, : step * width].reshape(width * height, step)
    columns = [
        np.ascontiguousarray(rows[:, at : at + kind.itemsize]).view(kind).reshape(-1)
        for at, kind in zip(offsets, kinds, strict=True)
    ]
    points = np.stack(columns, axis=1).astype(np.float32)
    return points[np.isfinite(points).all(axis=1)]


def decode_pose(message: Any) -> Float64Array:
    """T_parent_child [4, 4] of a PoseStamped, Odometry, Pose, TransformStamped or Transform. Raises PoseError."""
    body = getattr(message, "transform", getattr(message, "pose", message))
    body = getattr(body, "pose", body)
    position = getattr(body, "translation", None) or body.position
    rotation = getattr(body, "rotation", None) or body.orientation
    return transform_from_quaternion(
        np.array([position.x, position.y, position.z]), np.array([rotation.x, rotation.y, rotation.z, rotation.w])
    )
