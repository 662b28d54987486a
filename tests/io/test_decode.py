"""Decoding of ROS messages: closed-form pixels, samples, points and poses, and refused messages."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from echoseg_ros.errors import AudioFormatError, CloudFormatError, ImageFormatError, PoseError
from echoseg_ros.io import decode
from echoseg_ros.types import AudioFormat


def image(pixels: NDArray[Any], kind: str, **changes: Any) -> SimpleNamespace:
    """An Image message of [H, W, ...] pixels."""
    pixels = np.ascontiguousarray(pixels)
    fields = {"height": pixels.shape[0], "width": pixels.shape[1], "step": pixels.strides[0], "is_bigendian": 0}
    fields |= {"encoding": kind, "data": pixels.tobytes()}
    return SimpleNamespace(**fields | changes)


def pose(*values: float) -> SimpleNamespace:
    position = SimpleNamespace(**dict(zip("xyz", values[:3], strict=True)))
    orientation = SimpleNamespace(**dict(zip("xyzw", values[3:], strict=True)))
    return SimpleNamespace(pose=SimpleNamespace(position=position, orientation=orientation))


RGB = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def test_colours_arrive_in_rgb_order() -> None:
    np.testing.assert_array_equal(decode.decode_image(image(RGB, "rgb8")), RGB)
    np.testing.assert_array_equal(decode.decode_image(image(RGB[..., ::-1], "bgr8")), RGB)
    grey = decode.decode_image(image(RGB[..., 0], "mono8"))
    np.testing.assert_array_equal(grey, np.repeat(RGB[..., :1], 3, axis=2))
    alpha = np.dstack([RGB[..., ::-1], np.full(RGB.shape[:2], 255, np.uint8)])
    np.testing.assert_array_equal(decode.decode_image(image(alpha, "bgra8")), RGB)


def test_padded_rows_are_cut() -> None:
    padded = np.pad(RGB, ((0, 0), (0, 2), (0, 0)))
    message = image(padded, "rgb8", width=6)
    np.testing.assert_array_equal(decode.decode_image(message), RGB)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"width": 0}, "0x4 rgb8: want at least one pixel"),
        ({"encoding": "h264"}, "encoding 'h264'"),
        ({"data": b"12"}, "holds 2 bytes"),
        ({"height": 9}, "want 18 bytes a row"),
    ],
)
def test_bad_images_say_what_is_wrong(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ImageFormatError, match=says):
        decode.decode_image(image(RGB, "rgb8", **changes))


def test_a_compressed_image_that_cannot_be_decoded_is_refused() -> None:
    with pytest.raises(ImageFormatError, match="cannot be decoded"):
        decode.decode_image(SimpleNamespace(format="jpeg", data=b"no picture"))


def test_depth_in_millimetres_and_metres() -> None:
    millimetres = np.array([[0, 1234], [65535, 1]], "<u2")
    np.testing.assert_allclose(decode.decode_depth(image(millimetres, "16UC1")), millimetres / 1000, rtol=1e-6)
    big = image(millimetres.astype(">u2"), "16UC1", is_bigendian=1)
    np.testing.assert_allclose(decode.decode_depth(big), millimetres / 1000, rtol=1e-6)
    metres = np.array([[np.nan, 1.5], [-1, np.inf]], np.float32)
    np.testing.assert_array_equal(decode.decode_depth(image(metres, "32FC1")), [[0, 1.5], [0, 0]])
    with pytest.raises(ImageFormatError, match="depth encoding 'rgb8': want 16UC1"):
        decode.decode_depth(image(RGB, "rgb8"))


def test_camera_info_moves_the_pixel_centres() -> None:
    info = SimpleNamespace(width=640, height=480, k=[500, 0, 319.5, 0, 501, 239.5, 0, 0, 1])
    camera = decode.decode_camera_info(info)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (500, 501, 320, 240)
    with pytest.raises(ImageFormatError, match="calibrated"):
        decode.decode_camera_info(SimpleNamespace(width=640, height=480, k=np.zeros(9)))


@pytest.mark.parametrize("sample_format", ["S16LE", "S24LE", "S32LE", "F32LE"])
def test_samples_of_every_format_are_read(sample_format: str) -> None:
    truth = np.array([[0.5, -0.5], [-1.0, 0.25], [0.0, 0.999]])
    audio_format = AudioFormat(16000, 2, sample_format, "WAVE")
    if sample_format == "F32LE":
        data = truth.astype("<f4").tobytes()
    else:
        bits = int(sample_format[1:3])
        whole = np.round(truth.ravel() * 2 ** (bits - 1)).astype("<i4")
        data = whole.view(np.uint8).reshape(-1, 4)[:, : bits // 8].tobytes()
    np.testing.assert_allclose(decode.decode_audio(data, audio_format), truth, atol=2**-15)


def test_bytes_that_do_not_fit_the_channels_are_refused() -> None:
    with pytest.raises(AudioFormatError, match="6 bytes: want a multiple of 8"):
        decode.decode_audio(b"123456", AudioFormat(16000, 4, "S16LE", "WAVE"))


def audio_info(**changes: Any) -> SimpleNamespace:
    fields = {"channels": 8, "sample_rate": 16000, "sample_format": "S16LE", "coding_format": "wave"}
    return SimpleNamespace(**fields | changes)


def test_audio_info_is_read_or_refused() -> None:
    assert decode.decode_audio_info(audio_info()) == AudioFormat(16000, 8, "S16LE", "WAVE")
    with pytest.raises(AudioFormatError, match="^coding_format mp3 has no phase: set format to wave$"):
        decode.decode_audio_info(audio_info(coding_format="mp3"))
    with pytest.raises(AudioFormatError, match="sample_format 'U8'"):
        decode.decode_audio_info(audio_info(sample_format="U8"))
    with pytest.raises(AudioFormatError, match="0 channels"):
        decode.decode_audio_info(audio_info(channels=0))


def test_poses_are_read_or_refused() -> None:
    T_map_camera = decode.decode_pose(pose(1, 2, 3, 0, 0, np.sin(0.5), np.cos(0.5)))
    np.testing.assert_allclose(T_map_camera[:3, 3], [1, 2, 3])
    np.testing.assert_allclose(T_map_camera[:2, 0], [np.cos(1), np.sin(1)])
    with pytest.raises(PoseError, match="nan"):
        decode.decode_pose(pose(float("nan"), 0, 0, 0, 0, 0, 1))
    with pytest.raises(PoseError, match="length 0.000"):
        decode.decode_pose(pose(0, 0, 0, 0, 0, 0, 0))


def cloud(points: NDArray[Any], **changes: Any) -> SimpleNamespace:
    """A PointCloud2 message of a structured array [N] or [H, W]."""
    datatypes = {"f4": 7, "f8": 8, "u4": 6}
    layout = points.dtype.fields
    assert layout is not None
    fields = [
        SimpleNamespace(name=name, offset=entry[1], datatype=datatypes[entry[0].str[1:]], count=1)
        for name, entry in layout.items()
    ]
    height, width = points.reshape(1, -1).shape if points.ndim == 1 else points.shape
    step = points.dtype.itemsize
    shape = {"height": height, "width": width, "point_step": step, "row_step": step * width}
    message = {**shape, "fields": fields, "is_bigendian": False, "data": points.tobytes()}
    return SimpleNamespace(**message | changes)


@pytest.mark.parametrize("kind", ["<f4", "<f8", ">f4"])
def test_points_are_read_in_every_layout(kind: str) -> None:
    """Other fields before and between, any order of the axes, points that are not finite, padded rows."""
    points = np.zeros(
        (2, 3), np.dtype([("rgb", kind[0] + "u4"), ("z", kind), ("x", kind), ("ring", kind), ("y", kind)])
    )
    for i, axis in enumerate("xyz"):
        points[axis] = np.arange(6).reshape(2, 3) * 10 + i
    points["y"][1, 0] = np.nan
    wanted = np.array([[10 * n, 10 * n + 1, 10 * n + 2] for n in (0, 1, 2, 4, 5)], np.float32)
    message = cloud(points, is_bigendian=kind[0] == ">")
    np.testing.assert_array_equal(decode.decode_points(message), wanted)
    rows = points.view(np.uint8).reshape(2, -1)
    padded = np.pad(rows, ((0, 0), (0, 5)))
    message = cloud(points, is_bigendian=kind[0] == ">", data=padded.tobytes(), row_step=padded.shape[1])
    np.testing.assert_array_equal(decode.decode_points(message), wanted)


def test_an_empty_cloud_has_no_points() -> None:
    empty = np.zeros(0, np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4")]))
    assert decode.decode_points(cloud(empty)).shape == (0, 3)


def test_clouds_without_coordinates_or_data_are_refused() -> None:
    flat = np.zeros(4, np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<u4")]))
    with pytest.raises(CloudFormatError, match="without float field z"):
        decode.decode_points(cloud(flat))
    whole = np.zeros(4, np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4")]))
    with pytest.raises(CloudFormatError, match="holds 20 bytes"):
        decode.decode_points(cloud(whole, data=bytes(20)))


LABELS = np.array([[0, 1, 2], [300, -1, 7]])


@pytest.mark.parametrize(
    ("kind", "dtype", "unjudged"), [("16UC1", "<u2", 65535), ("mono16", "<u2", 65535), ("32SC1", "<i4", -1),
                                    ("32SC1", "<i4", -5), ("16SC1", "<i2", -1)],
)  # fmt: skip
def test_masks_of_every_encoding_are_read(kind: str, dtype: str, unjudged: int) -> None:
    sent = np.where(LABELS < 0, unjudged, LABELS).astype(dtype)
    labels = decode.decode_masks(image(sent, kind))
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, LABELS)


def test_a_black_and_white_mask_is_one_object() -> None:
    white = np.array([[0, 255], [255, 0]], np.uint8)
    np.testing.assert_array_equal(decode.decode_masks(image(white, "mono8")), white)


def test_masks_in_colour_are_refused() -> None:
    with pytest.raises(
        ImageFormatError, match="masks encoding 'rgb8': want one of 16UC1, mono16, 16SC1, 32SC1, mono8, 8UC1"
    ):
        decode.decode_masks(image(RGB, "rgb8"))
