"""Assembles images, depth images and poses, which arrive separately, into posed camera frames."""

from __future__ import annotations

from collections import Counter, deque

import numpy as np

from echoseg_ros.config import InputConfig
from echoseg_ros.errors import ImageFormatError
from echoseg_ros.geometry import PoseTrack
from echoseg_ros.types import Camera, CameraFrame, DepthData, FloatImage, ImageData, PoseData


class FrameAssembler:
    """Holds each image until its pose (and its depth image, with a depth sensor) has arrived.

    The order of arrival is kept: an incomplete image holds back the later ones.

    An image that is still incomplete after `input.wait_s` of sensor time is dropped. `counts`: images received and
    assembled, and one entry for each cause of a drop: "no pose", "no depth", "no camera_info", "image size", "depth size".
    """

    def __init__(self, config: InputConfig, use_depth: bool = True) -> None:
        self._config = config
        self.use_depth = use_depth
        self._wait_ns = int(config.wait_s * 1e9)
        self._tolerance_ns = int(config.depth_max_offset_s * 1e9)
        self.counts: Counter[str] = Counter()
        self._depth_seen = False  # stays over a rewind: the camera is the same
        self.rewind()

    def rewind(self) -> None:
        """On a backward time jump: clear waiting images, poses and the camera; the counts stay."""
        self.camera: Camera | None = None
        self._poses = PoseTrack(self._config.pose_max_gap_s)
        self._images: deque[tuple[int, ImageData]] = deque()
        self._depths: deque[DepthData] = deque()
        self._newest_ns = 0

    @property
    def newest_pose_ns(self) -> int | None:
        """Stamp of the newest pose, None before the first."""
        return self._poses.newest_ns

    def add(self, item: Camera | ImageData | DepthData | PoseData) -> list[CameraFrame]:
        """Take one message; return the frames that are complete now.

        Raises PoseError or TimeError for a bad pose and ImageFormatError for a depth image that does not fit; the
        image concerned is dropped and counted, everything else stays.
        """
        if isinstance(item, Camera):
            self.camera = item
            return []
        self._newest_ns = max(self._newest_ns, item.stamp_ns)
        if isinstance(item, PoseData):
            self._poses.add(item.stamp_ns, item.T_map_camera)
        elif isinstance(item, ImageData):
            self._images.append((self.counts["received"], item))
            self.counts["received"] += 1
        elif self.use_depth:
            self._depths.append(item)
            self._depth_seen = True
        return self._complete()

    def _complete(self) -> list[CameraFrame]:
        frames = []
        while self._images:
            index, image = self._images[0]
            late = self._newest_ns - image.stamp_ns > self._wait_ns
            missing = self._missing(image)
            if missing and not late:
                break
            self._images.popleft()
            if missing:
                self.counts[missing] += 1
            else:
                frames.append(self._frame(index, image))
        return frames

    def _missing(self, image: ImageData) -> str | None:
        """The cause for which an image still waits, None when it is complete."""
        if self.camera is None:
            return "no camera_info"
        if self._poses.at(image.stamp_ns) is None:
            return "no pose"
        if self._depth_may_come(image.stamp_ns) and self._depth_at(image.stamp_ns) is None:
            return "no depth"
        return None

    def _depth_may_come(self, stamp_ns: int) -> bool:
        """Whether to wait for depth: always after the first depth image, before that until it would be late."""
        return self.use_depth and (self._depth_seen or self._newest_ns - stamp_ns < self._tolerance_ns)

    def _frame(self, index: int, image: ImageData) -> CameraFrame:
        T_map_camera = self._poses.at(image.stamp_ns)
        assert self.camera is not None and T_map_camera is not None  # _missing said so
        height, width = image.rgb.shape[:2]
        if (width, height) != (self.camera.width, self.camera.height):
            self.counts["image size"] += 1
            raise ImageFormatError(
                f"image of {width}x{height} at {image.stamp_ns / 1e9:.3f} s: "
                f"camera_info says {self.camera.width}x{self.camera.height}"
            )
        depth = self._depth_at(image.stamp_ns)
        if depth is not None and depth.depth_m.shape != (height, width):
            self.counts["depth size"] += 1
            raise ImageFormatError(
                f"depth of {depth.depth_m.shape[1]}x{depth.depth_m.shape[0]} at {depth.stamp_ns / 1e9:.3f} s: "
                f"want the image's {width}x{height} (registered depth)"
            )
        self._forget_depth_before(image.stamp_ns)
        self.counts["assembled"] += 1
        depth_m = None if depth is None else self._limited(depth.depth_m)
        return CameraFrame(image.stamp_ns, index, self.camera, image.rgb, depth_m, T_map_camera)

    def _depth_at(self, stamp_ns: int) -> DepthData | None:
        nearest = min(self._depths, key=lambda depth: abs(depth.stamp_ns - stamp_ns), default=None)
        return nearest if nearest and abs(nearest.stamp_ns - stamp_ns) <= self._tolerance_ns else None

    def _forget_depth_before(self, stamp_ns: int) -> None:
        while self._depths and self._depths[0].stamp_ns < stamp_ns - self._tolerance_ns:
            self._depths.popleft()

    def _limited(self, depth_m: FloatImage) -> FloatImage:
        good = np.isfinite(depth_m) & (depth_m > 0) & (depth_m <= self._config.depth_max_m)
        return np.where(good, depth_m, np.float32(0))
