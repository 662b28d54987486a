"""Keyframes: their selection among the frames, their reduction to the map's resolution, and the store of kept ones."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import Enum

import numpy as np
import torch

from echoseg_ros.config import KeyframeConfig
from echoseg_ros.types import CameraFrame, Float64Array, FloatImage, RgbImage

# Weights of red, green and blue in brightness (ITU-R BT.601).
BRIGHTNESS_WEIGHTS = (0.299, 0.587, 0.114)


class KeyframeReason(Enum):
    """Why a frame became a keyframe, or why it did not."""

    FIRST = "the first frame"
    MOVED = "the camera moved"
    TURNED = "the camera turned"
    TIME = "the last keyframe is old"
    TOO_SOON = "too soon after the last keyframe"
    SAME_VIEW = "the last keyframe shows the same"

    @property
    def accepted(self) -> bool:
        """Whether the frame is a keyframe."""
        return self not in (KeyframeReason.TOO_SOON, KeyframeReason.SAME_VIEW)


@dataclass(frozen=True)
class Keyframe(CameraFrame):
    """A frame that the map keeps, reduced to the map's resolution.

    id: number of the keyframe, from 0; has_swept_depth: its depth comes from the plane sweep, not from a sensor.
    """

    id: int
    reason: KeyframeReason
    has_swept_depth: bool = False

    @staticmethod
    def of(frame: CameraFrame, id: int, reason: KeyframeReason) -> Keyframe:
        """The keyframe of a frame that is reduced already."""
        return Keyframe(**{f.name: getattr(frame, f.name) for f in fields(CameraFrame)}, id=id, reason=reason)


class KeyframeSelector:
    """Selects keyframes by motion and time since the last one. Independent of the map's unit."""

    def __init__(self, config: KeyframeConfig) -> None:
        self._config = config
        self._last: CameraFrame | None = None

    def select(self, frame: CameraFrame, scene_depth: float | None) -> KeyframeReason:
        """Accept or refuse the next frame; an accepted one becomes the reference for the frames after it.

        scene_depth: median depth of the scene, map units; None if unknown: then any motion is enough.
        """
        reason = self._reason(frame, scene_depth or 0.0)
        if reason.accepted:
            self._last = frame
        return reason

    def clear(self) -> None:
        """Forget the last keyframe; the next frame is accepted."""
        self._last = None

    def _reason(self, frame: CameraFrame, scene_depth: float) -> KeyframeReason:
        if self._last is None:
            return KeyframeReason.FIRST
        elapsed_s = (frame.stamp_ns - self._last.stamp_ns) / 1e9
        if elapsed_s < self._config.min_interval_s:
            return KeyframeReason.TOO_SOON
        moved, turned_rad = pose_difference(self._last.T_map_camera, frame.T_map_camera)
        if moved > 0 and moved >= self._config.min_translation * scene_depth:
            return KeyframeReason.MOVED
        if turned_rad >= self._config.min_rotation_rad:
            return KeyframeReason.TURNED
        return KeyframeReason.TIME if elapsed_s >= self._config.max_interval_s else KeyframeReason.SAME_VIEW


class KeyframeStore:
    """At most `keyframes.max_count` keyframes, in the order of insertion."""

    # Number of newest keyframes that are never dropped: the window of the optimiser.
    WINDOW = 4

    def __init__(self, config: KeyframeConfig) -> None:
        self._max_count = config.max_count
        self._keyframes: list[Keyframe] = []

    def __len__(self) -> int:
        return len(self._keyframes)

    def __getitem__(self, position: int) -> Keyframe:
        return self._keyframes[position]

    def clear(self) -> None:
        """Remove all keyframes."""
        self._keyframes.clear()

    def add(self, keyframe: Keyframe) -> int | None:
        """Append a keyframe; returns the position of the most redundant one if the store was full and dropped it."""
        self._keyframes.append(keyframe)
        if len(self._keyframes) <= self._max_count:
            return None
        position = self._most_redundant()
        del self._keyframes[position]
        return position

    def _most_redundant(self) -> int:
        """Position of the keyframe with the most similar pose to another one; the older of the two."""
        candidates = max(len(self._keyframes) - self.WINDOW, 1)
        poses = np.stack([keyframe.T_map_camera for keyframe in self._keyframes])
        gaps = np.linalg.norm(poses[:, None, :3, 3] - poses[None, :, :3, 3], axis=-1)
        cosines = np.clip(np.einsum("ik,jk->ij", poses[:, :3, 2], poses[:, :3, 2]), -1, 1)
        # A translation by the median distance counts like a rotation of 1 rad.
        spread = max(float(np.median(gaps)), 1e-9)
        distance = gaps / spread + np.arccos(cosines)
        np.fill_diagonal(distance, np.inf)
        return int(np.argmin(distance.min(axis=1)[:candidates]))


def pose_difference(T_map_a: Float64Array, T_map_b: Float64Array) -> tuple[float, float]:
    """(distance in map units, angle in radians) between two poses."""
    cosine = (np.trace(T_map_a[:3, :3].T @ T_map_b[:3, :3]) - 1) / 2
    return float(np.linalg.norm(T_map_a[:3, 3] - T_map_b[:3, 3])), float(np.arccos(np.clip(cosine, -1, 1)))


def reduced(frame: CameraFrame, width_px: int) -> CameraFrame:
    """The frame, reduced to at most `width_px`: colours averaged over areas, depths selected, never averaged."""
    if frame.camera.width <= width_px:
        return frame
    height_px = max(round(frame.camera.height * width_px / frame.camera.width), 1)
    depth_m = None if frame.depth_m is None else reduced_depth(frame.depth_m, height_px, width_px)
    rgb = reduced_rgb(frame.rgb, height_px, width_px)
    return replace(frame, camera=frame.camera.resized(width_px, height_px), rgb=rgb, depth_m=depth_m)


def reduced_keyframe(keyframe: Keyframe, width_px: int) -> Keyframe:
    """The keyframe, reduced to at most `width_px`."""
    return Keyframe.of(reduced(keyframe, width_px), keyframe.id, keyframe.reason)


def reduced_rgb(rgb: RgbImage, height: int, width: int) -> RgbImage:
    """Colour image [height, width, 3] of the means over areas of an image [H, W, 3]."""
    factor = rgb.shape[0] // height
    if rgb.shape[:2] == (height * factor, width * factor):
        cells = [rgb[i::factor, j::factor].astype(np.uint16) for i in range(factor) for j in range(factor)]
        means: RgbImage = ((sum(cells) + factor * factor // 2) // (factor * factor)).astype(np.uint8)
        return means
    image = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None].float()
    mean = torch.nn.functional.interpolate(image, size=(height, width), mode="area")[0]
    reduced_image: RgbImage = mean.permute(1, 2, 0).round().to(torch.uint8).numpy()
    return reduced_image


def reduced_depth(depth_m: FloatImage, height: int, width: int) -> FloatImage:
    """Depth image [height, width] of the (lower) median reading of each cell of [H, W], 0 where a cell has none."""
    factor = depth_m.shape[0] // height
    if depth_m.shape != (height * factor, width * factor):
        rows = ((np.arange(height) + 0.5) * depth_m.shape[0] / height).astype(int)
        columns = ((np.arange(width) + 0.5) * depth_m.shape[1] / width).astype(int)
        return np.ascontiguousarray(depth_m[np.ix_(rows, columns)])
    cells = np.stack([depth_m[i::factor, j::factor] for i in range(factor) for j in range(factor)])
    valid = (cells > 0).sum(axis=0)
    cells = np.sort(np.where(cells > 0, cells, np.inf), axis=0)
    picked = np.take_along_axis(cells, np.maximum(valid - 1, 0)[None] // 2, axis=0)[0]
    return np.where(valid > 0, picked, 0).astype(np.float32)
