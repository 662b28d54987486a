"""Colour images of ROS messages as arrays: cv_bridge where it is installed, our own decoder for everything else."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from echoseg_ros.io.decode import decode_image
from echoseg_ros.types import RgbImage

logger = logging.getLogger(__name__)


def installed_bridge() -> Any | None:
    """cv_bridge's converter; None where cv_bridge is absent (it exists as apt package only) or cannot be loaded."""
    try:
        from cv_bridge import CvBridge

        return CvBridge()
    except ImportError as error:
        logger.info("cv_bridge is not used: %s", error)
        return None


class ImageDecoder:
    """Decodes Image and CompressedImage messages to RGB.

    bridge: converter with cv_bridge's `imgmsg_to_cv2`, or None. Messages that it refuses (an encoding without colour
    information as 8UC3, upper or lower case), mono16 and compressed images are decoded by io.decode, as those of a bag.
    """

    def __init__(self, bridge: Any | None) -> None:
        self._bridge = bridge

    def rgb(self, message: Any) -> RgbImage:
        """[H, W, 3] uint8, writable. Raises ImageFormatError."""
        if self._bridge is None or hasattr(message, "format") or str(message.encoding).lower() == "mono16":
            return decode_image(message)  # mono16: cv_bridge rounds to 8 bits differently
        try:
            pixels = np.asarray(self._bridge.imgmsg_to_cv2(message, "rgb8"), np.uint8)
        except (ImportError, AttributeError) as error:  # built for another numpy: found out at the first image
            logger.warning("cv_bridge is not used: %s", error)
            self._bridge = None
            return decode_image(message)
        except Exception:  # CvBridgeError: cannot be imported where cv_bridge is absent
            return decode_image(message)
        return pixels if pixels.flags.writeable else pixels.copy()
