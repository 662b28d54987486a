"""Masks that another node publishes: matches masks, which arrive late, with the views that they belong to."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from echoseg_ros.config import MaskConfig
from echoseg_ros.errors import ImageFormatError
from echoseg_ros.masks.outline_bias import OutlineBiasEstimator
from echoseg_ros.masks.protocol import UNJUDGED
from echoseg_ros.types import Camera, CameraFrame, Float64Array, MaskImage, MaskProposal, RgbImage

# Largest difference of stamps of the same image, ns: a node that computes with the stamp may round it.
_SAME_STAMP_NS = 2_000_000
# Masks that wait at most; the oldest is dropped.
_MAX_MASKS = 16
# Views that wait at most; the oldest is dropped.
_MAX_VIEWS = 600
# Masks in a row without an image after which the stamps are reported as wrong.
_MAX_UNMATCHED = 5
# Largest ratio of the aspect ratios of masks and image, which rounding to whole pixels explains.
_MAX_STRETCH = 1.03


@dataclass(frozen=True)
class MaskView:
    """The part of a frame that is needed to lift masks from it.

    T_map_camera: [4, 4]; rgb: [H, W, 3]; keyframe: whether the frame is a keyframe of the map.
    """

    stamp_ns: int
    camera: Camera
    T_map_camera: Float64Array
    rgb: RgbImage
    keyframe: bool

    @staticmethod
    def from_frame(frame: CameraFrame, keyframe: bool) -> MaskView:
        """The view of a frame at the map's resolution."""
        return MaskView(frame.stamp_ns, frame.camera, frame.T_map_camera, frame.rgb, keyframe)


class TopicMasks:
    """Queues of views and masks that wait for each other, for up to `masks.wait_s` of sensor time.

    All masks of keyframes are used. Masks of other frames are used only if no view within a given gap was used, for nodes
    too slow to meet keyframes. The common offset of the outlines is removed (OutlineBiasEstimator). `counts`: masks received,
    used, not needed, of a wrong shape, without an image, dropped because too many waited; keyframes without masks.
    `problems`: messages for the user.
    """

    def __init__(self, config: MaskConfig) -> None:
        self._config = config
        self._wait_ns = int(config.wait_s * 1e9)
        self.counts: Counter[str] = Counter()
        self.problems: deque[str] = deque(maxlen=20)
        self._outlines = OutlineBiasEstimator()
        self.clear()

    def clear(self) -> None:
        """Clear both queues, after a backward time jump; counts stay."""
        self._views: deque[MaskView] = deque()
        self._masks: deque[MaskImage] = deque()
        self._newest_ns = 0
        self._used_ns: int | None = None
        self._unmatched = 0

    def add_view(self, view: MaskView) -> None:
        """Add a view that is part of the map by now."""
        self._newest_ns = max(self._newest_ns, view.stamp_ns)
        self._views.append(view)
        while self._views and (len(self._views) > _MAX_VIEWS or self._is_late(self._views[0].stamp_ns)):
            self._count_lost_view(self._views.popleft())

    def add_masks(self, masks: MaskImage) -> None:
        """Add masks of an image, before or after its view."""
        self.counts["masks received"] += 1
        self._masks.append(masks)
        if len(self._masks) > _MAX_MASKS:
            self._masks.popleft()
            self.counts["masks dropped"] += 1

    def take_pairs(self, min_gap_ns: int) -> list[tuple[MaskView, MaskProposal]]:
        """Remove and return the complete pairs, in the order in which the masks arrived.

        min_gap_ns: masks of a frame that is no keyframe are not needed nearer than this to a view that was used. Masks
        whose shape differs from the image's are skipped and reported in `problems`.
        """
        pairs, waiting = [], deque[MaskImage]()
        for masks in self._masks:
            view = self._view_at(masks.stamp_ns)
            if view is None:
                self._keep_or_drop(masks, waiting)
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
            self._unmatched = 0
            self._used_ns = view.stamp_ns
        self._masks = waiting
        return pairs

    def drop_waiting_views(self) -> None:
        """Drop all views that wait, at the end of the recording, and count keyframes without masks."""
        while self._views:
            self._count_lost_view(self._views.popleft())

    def _view_at(self, stamp_ns: int) -> MaskView | None:
        nearest = min(self._views, key=lambda view: abs(view.stamp_ns - stamp_ns), default=None)
        return nearest if nearest and abs(nearest.stamp_ns - stamp_ns) <= _SAME_STAMP_NS else None

    def _keep_or_drop(self, masks: MaskImage, waiting: deque[MaskImage]) -> None:
        """Let masks without a view wait, or count them as lost if they are late."""
        if not self._is_late(masks.stamp_ns):
            waiting.append(masks)
            return
        self.counts["masks without an image"] += 1
        self._unmatched += 1
        if self._unmatched == _MAX_UNMATCHED:
            self.problems.append("masks: no image has their stamps; their node must copy the header of the image")

    def _count_lost_view(self, view: MaskView) -> None:
        if view.keyframe:
            self.counts["keyframes without masks"] += 1

    def _is_late(self, stamp_ns: int) -> bool:
        return self._newest_ns - stamp_ns > self._wait_ns

    def _is_near(self, stamp_ns: int, gap_ns: int) -> bool:
        return self._used_ns is not None and abs(stamp_ns - self._used_ns) < gap_ns

    def _proposal(self, masks: MaskImage, view: MaskView) -> MaskProposal:
        labels, count = _renumbered(_at_camera_size(masks, view.camera), self._config.max_count)
        self._outlines.add(labels, view.rgb)
        proposal = MaskProposal(masks.stamp_ns, labels, np.ones(count, np.float32), self._config.backend)
        return self._outlines.corrected(proposal)


def _at_camera_size(masks: MaskImage, camera: Camera) -> NDArray[np.int32]:
    """[H, W] labels at the camera's size. Raises ImageFormatError for masks with another aspect ratio."""
    height, width = masks.labels.shape
    stretch = (width * camera.height) / (height * camera.width)
    if not 1 / _MAX_STRETCH <= stretch <= _MAX_STRETCH:
        raise ImageFormatError(
            f"masks of {width}x{height} at {masks.stamp_ns / 1e9:.3f} s: want the shape of the image, "
            f"which is {camera.width}x{camera.height} in the map"
        )
    size = (camera.width, camera.height)
    return np.asarray(cv2.resize(masks.labels, size, interpolation=cv2.INTER_NEAREST_EXACT), np.int32)


def _renumbered(labels: NDArray[np.int32], max_count: int) -> tuple[NDArray[np.int32], int]:
    """(labels 1..K without gaps, K) of the largest `max_count` masks; smaller ones and labels below 0 are unjudged."""
    found, inverse, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    objects = np.flatnonzero(found > 0)
    kept = np.sort(objects[np.argsort(-sizes[objects], kind="stable")[:max_count]])
    new = np.where(found == 0, 0, UNJUDGED).astype(np.int32)
    new[kept] = np.arange(1, len(kept) + 1)
    return new[inverse].reshape(labels.shape), len(kept)
