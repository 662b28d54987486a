"""Masks that other nodes make: they come late, and are brought together with the view they belong to."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from echoseg_ros.config import MaskConfig
from echoseg_ros.errors import ImageFormatError
from echoseg_ros.masks.outline_bias import OutlineBias
from echoseg_ros.types import Camera, CameraFrame, Float64Array, MaskImage, MaskProposal, RgbImage

# A node that copies the image's header keeps its stamp to the nanosecond; one that computes with it may round.
_SAME_STAMP_NS = 2_000_000
# Masks and views that wait at most: beyond it the oldest goes, however patient the setting.
_MAX_MASKS, _MAX_VIEWS = 16, 600
# Masks for so many images in a row whose stamps no image has: the stamps are not those of the images.
_STRANGERS = 5
# The size of an image tells its shape to within a pixel or so.
_MAX_STRETCH = 1.03


@dataclass(frozen=True)
class MaskView:
    """What is needed of a frame to lift masks from it.

    T_map_camera: [4, 4]; rgb: [H, W, 3]; keyframe: one that the map is built from.
    """

    stamp_ns: int
    camera: Camera
    T_map_camera: Float64Array
    rgb: RgbImage
    keyframe: bool

    @staticmethod
    def of(frame: CameraFrame, keyframe: bool) -> MaskView:
        """Of a frame at the map's resolution."""
        return MaskView(frame.stamp_ns, frame.camera, frame.T_map_camera, frame.rgb, keyframe)


class TopicMasks:
    """Views wait for masks and masks for views, in sensor time and up to `masks.wait_s`.

    Masks of keyframes are all used; those of other frames only while no other view was used within a given gap, so that a
    node too slow to hit keyframes is heard too. What their outlines are off by on the whole is taken out (OutlineBias).
    `counts`: masks received, used, not needed, without an image, dropped
    because too many waited; keyframes without masks.
    """

    def __init__(self, config: MaskConfig) -> None:
        self._config = config
        self._wait_ns = int(config.wait_s * 1e9)
        self.counts: Counter[str] = Counter()
        self.problems: deque[str] = deque(maxlen=20)
        self._outlines = OutlineBias()
        self.clear()

    def clear(self) -> None:
        """Forget what waits (time went back); the counts stay."""
        self._views: deque[MaskView] = deque()
        self._masks: deque[MaskImage] = deque()
        self._newest_ns = 0
        self._used_ns: int | None = None
        self._strangers = 0

    def expect(self, view: MaskView) -> None:
        """A view that the map shows by now."""
        self._newest_ns = max(self._newest_ns, view.stamp_ns)
        self._views.append(view)
        while self._views and (len(self._views) > _MAX_VIEWS or self._is_late(self._views[0].stamp_ns)):
            self._lose_view(self._views.popleft())

    def add(self, masks: MaskImage) -> None:
        """Masks of an image; its view may have been seen or come later."""
        self.counts["masks received"] += 1
        self._masks.append(masks)
        if len(self._masks) > _MAX_MASKS:
            self._masks.popleft()
            self.counts["masks dropped"] += 1

    def take(self, min_gap_ns: int) -> list[tuple[MaskView, MaskProposal]]:
        """The pairs that are complete, in the order of the masks' arrival.

        min_gap_ns: as closely as this to another view that was used, masks of a frame that is no keyframe are not needed.
        Masks of another shape than the image are said in `problems` and skipped.
        """
        pairs, waiting = [], deque[MaskImage]()
        for masks in self._masks:
            view = self._view_at(masks.stamp_ns)
            if view is None:
                self._keep_or_lose(masks, waiting)
                continue
            self._views.remove(view)
            if not view.keyframe and self._is_near(view.stamp_ns, min_gap_ns):
                self.counts["masks not needed"] += 1
                continue
            try:
                pairs.append((view, self._proposal(masks, view)))
            except ImageFormatError as error:
                self.problems.append(str(error))
                self.counts["masks of a wrong shape"] += 1
                continue
            self.counts["masks used"] += 1
            self._strangers = 0
            self._used_ns = view.stamp_ns
        self._masks = waiting
        return pairs

    def finish(self) -> None:
        """Nothing more comes: what waits is lost."""
        while self._views:
            self._lose_view(self._views.popleft())

    def _view_at(self, stamp_ns: int) -> MaskView | None:
        nearest = min(self._views, key=lambda view: abs(view.stamp_ns - stamp_ns), default=None)
        return nearest if nearest and abs(nearest.stamp_ns - stamp_ns) <= _SAME_STAMP_NS else None

    def _keep_or_lose(self, masks: MaskImage, waiting: deque[MaskImage]) -> None:
        if not self._is_late(masks.stamp_ns):
            waiting.append(masks)
            return
        self.counts["masks without an image"] += 1
        self._strangers += 1
        if self._strangers == _STRANGERS:
            self.problems.append("masks: no image has their stamps; their node must copy the header of the image")

    def _lose_view(self, view: MaskView) -> None:
        if view.keyframe:
            self.counts["keyframes without masks"] += 1

    def _is_late(self, stamp_ns: int) -> bool:
        return self._newest_ns - stamp_ns > self._wait_ns

    def _is_near(self, stamp_ns: int, gap_ns: int) -> bool:
        return self._used_ns is not None and abs(stamp_ns - self._used_ns) < gap_ns

    def _proposal(self, masks: MaskImage, view: MaskView) -> MaskProposal:
        labels, count = _numbered(_fitted(masks, view.camera), self._config.max_count)
        self._outlines.add(labels, view.rgb)
        proposal = MaskProposal(masks.stamp_ns, labels, np.ones(count, np.float32), self._config.backend)
        return self._outlines.corrected(proposal)


def _fitted(masks: MaskImage, camera: Camera) -> NDArray[np.int32]:
    """[H, W] labels at the camera's size. Raises ImageFormatError for an image of another shape."""
    height, width = masks.labels.shape
    stretch = (width * camera.height) / (height * camera.width)
    if not 1 / _MAX_STRETCH <= stretch <= _MAX_STRETCH:
        raise ImageFormatError(
            f"masks of {width}x{height} at {masks.stamp_ns / 1e9:.3f} s: want the shape of the image, "
            f"which is {camera.width}x{camera.height} in the map"
        )
    size = (camera.width, camera.height)
    return np.asarray(cv2.resize(masks.labels, size, interpolation=cv2.INTER_NEAREST_EXACT), np.int32)


def _numbered(labels: NDArray[np.int32], max_count: int) -> tuple[NDArray[np.int32], int]:
    """(labels 1..K without gaps, K): the largest `max_count` stay, the others are left unjudged, as is what is below 0."""
    found, inverse, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    objects = np.flatnonzero(found > 0)
    kept = np.sort(objects[np.argsort(-sizes[objects], kind="stable")[:max_count]])
    new = np.where(found == 0, 0, -1).astype(np.int32)
    new[kept] = np.arange(1, len(kept) + 1)
    return new[inverse].reshape(labels.shape), len(kept)
