"""Images through cv_bridge where it is installed. It exists as apt package only: a stand-in takes its place here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from echoseg_ros.errors import ImageFormatError
from echoseg_ros.nodes.images import ImageDecoder

RGB = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)


def message(encoding: str, pixels: NDArray[np.uint8] = RGB) -> SimpleNamespace:
    height, width, channels = pixels.shape
    return SimpleNamespace(
        height=height, width=width, step=width * channels, encoding=encoding, is_bigendian=0, data=pixels.tobytes()
    )


class Bridge:
    """Converts as cv_bridge does; knows rgb8 and bgr8 only. error: raised instead."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.converted: list[str] = []

    def imgmsg_to_cv2(self, image: Any, desired_encoding: str) -> NDArray[np.uint8]:
        if self.error is not None:
            raise self.error
        if image.encoding not in ("rgb8", "bgr8"):
            raise RuntimeError(f"no conversion from {image.encoding} to {desired_encoding}")
        self.converted.append(image.encoding)
        pixels = np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3)
        return pixels if image.encoding == "rgb8" else pixels[..., ::-1]


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8"])
def test_cv_bridge_decodes_what_it_knows_and_the_pixels_are_those_of_a_bag(encoding: str) -> None:
    bridge = Bridge()
    decoded = ImageDecoder(bridge).rgb(message(encoding))
    assert bridge.converted == [encoding]
    np.testing.assert_array_equal(decoded, ImageDecoder(None).rgb(message(encoding)))
    assert decoded.flags.writeable


def test_an_encoding_that_cv_bridge_refuses_is_decoded_all_the_same() -> None:
    np.testing.assert_array_equal(ImageDecoder(Bridge()).rgb(message("8UC3")), RGB[..., ::-1])


def test_an_encoding_that_nobody_knows_is_named() -> None:
    with pytest.raises(ImageFormatError, match="nv12"):
        ImageDecoder(Bridge()).rgb(message("nv12"))


def test_a_cv_bridge_for_another_numpy_is_left_alone_after_the_first_image(caplog: pytest.LogCaptureFixture) -> None:
    decoder = ImageDecoder(Bridge(AttributeError("_ARRAY_API not found")))
    for _ in range(2):
        np.testing.assert_array_equal(decoder.rgb(message("rgb8")), RGB)
    assert [record.message for record in caplog.records] == ["cv_bridge is not used: _ARRAY_API not found"]
