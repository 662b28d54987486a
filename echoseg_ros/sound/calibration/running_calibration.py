"""Self-calibration beside a running sound stage: regular estimates, applied to poses and head radius."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from echoseg_ros.geometry import PoseTrack, inverse
from echoseg_ros.sound.array.array_geometry import ArrayGeometry, Head
from echoseg_ros.sound.calibration.self_calibration import MEMORY_S, CalibrationEstimate, SelfCalibration
from echoseg_ros.types import AudioWindow, Float64Array, SoundEvidence

logger = logging.getLogger(__name__)

# Sensor time before the first estimate. An estimate costs 0.15 to 0.6 s of one core, so that the time to the next one
# doubles with each.
FIRST_PERIOD_S = 5.0
# Longest sensor time between two estimates; then no sound is used twice.
MAX_PERIOD_S = MEMORY_S
# A head radius is applied if its standard deviation is below this share of it ...
MAX_SIGMA_RADIUS_SHARE = 0.05
# ... and it differs from the present one by more than this share and by more than three standard deviations.
MIN_RADIUS_CHANGE_SHARE = 0.04


class CorrectedPoses(PoseTrack):
    """A camera track corrected by a calibration estimate: audio offset and array yaw, each only where it is known."""

    def __init__(self, track: PoseTrack, array: ArrayGeometry, estimate: CalibrationEstimate) -> None:
        self._track = track
        self._offset_ns = round(estimate.offset_s * 1e9) if estimate.knows_offset else 0
        T_array_mounted = estimate.T_array_mounted if estimate.knows_yaw else np.eye(4)
        self._T_camera_corrected = array.T_camera_array @ T_array_mounted @ inverse(array.T_camera_array)

    def __len__(self) -> int:
        return len(self._track)

    @property
    def newest_ns(self) -> int | None:
        """Stamp of the newest pose in the time of the audio stamps; None without poses."""
        newest_ns = self._track.newest_ns
        return None if newest_ns is None else newest_ns - self._offset_ns

    def at(self, stamp_ns: int) -> Float64Array | None:
        """[4, 4] camera pose at an audio stamp, corrected so that T_camera_array leads to the array as it is mounted."""
        T_map_camera = self._track.at(stamp_ns + self._offset_ns)
        return None if T_map_camera is None else T_map_camera @ self._T_camera_corrected


class RunningCalibration:
    """Runs a self-calibration at growing intervals and keeps its results.

    mode: off, report or apply, as `sound.self_calibration`. newest: the last estimate; applied: the estimate in use;
    array: the array with the head radius that was found, which is applied unless mode is off, since a wrong radius makes
    positions unusable.
    """

    def __init__(self, array: ArrayGeometry, mode: str) -> None:
        self._described_array, self._mode = array, mode
        self._calibration = SelfCalibration(array)
        self._due_ns: int | None = None
        self._period_s = FIRST_PERIOD_S
        self.array = array
        self.newest: CalibrationEstimate | None = None
        self.applied: CalibrationEstimate | None = None

    def add(self, evidence: SoundEvidence, poses: PoseTrack, window: AudioWindow | None = None) -> None:
        """Adds a window with the uncorrected camera track; makes and applies an estimate when one is due."""
        if self._mode == "off":
            return
        self._calibration.add(evidence, poses, window)
        if self._due_ns is None or evidence.stamp_ns < self._due_ns - 2 * MAX_PERIOD_S * 1e9:
            self._period_s = FIRST_PERIOD_S
            self._due_ns = evidence.stamp_ns + int(self._period_s * 1e9)
        if evidence.stamp_ns < self._due_ns:
            return
        estimate = self._calibration.estimate()
        if estimate is not None:  # without enough sound a try costs nothing, so that the period stays
            self._period_s = min(2 * self._period_s, MAX_PERIOD_S)
        self._due_ns = evidence.stamp_ns + int(self._period_s * 1e9)
        self.newest = estimate or self.newest
        if self.newest is None:
            return
        self._apply_head_radius(self.newest)
        if self._mode == "apply":
            self.applied = _merged(self.newest, self.applied)

    def _apply_head_radius(self, found: CalibrationEstimate) -> None:
        radius_m, sigma_m, head = found.head_radius_m, found.sigma_head_radius_m, self.array.head
        if radius_m is None or sigma_m is None or head is None or head.radius_m is None:
            return
        change_m = abs(radius_m - head.radius_m)
        is_certain = sigma_m < MAX_SIGMA_RADIUS_SHARE * radius_m
        if is_certain and change_m > max(MIN_RADIUS_CHANGE_SHARE * head.radius_m, 3 * sigma_m):
            logger.warning(
                "self-calibration: head radius is %.1f mm (+-%.1f) instead of %.1f mm; using the new radius",
                1e3 * radius_m, 1e3 * sigma_m, 1e3 * head.radius_m,
            )  # fmt: skip
            self.array = replace(self.array, head=Head(radius_m=radius_m))

    def corrected(self, track: PoseTrack) -> PoseTrack:
        """The camera track corrected by the applied estimate; the track itself without one."""
        return track if self.applied is None else CorrectedPoses(track, self._described_array, self.applied)

    def clear(self) -> None:
        """Drops all windows, as after a backward time jump; the estimates stay."""
        self._calibration.clear()
        self._due_ns = None


def _merged(newest: CalibrationEstimate, before: CalibrationEstimate | None) -> CalibrationEstimate | None:
    """The newest estimate, with offset and yaw of the one before where only that one knew them; None if none is known."""
    if before is None:
        return newest if newest.knows_offset or newest.knows_yaw else None
    merged = newest
    if not newest.knows_offset:
        merged = replace(merged, offset_s=before.offset_s, sigma_offset_s=before.sigma_offset_s)
    if not newest.knows_yaw:
        merged = replace(merged, yaw_rad=before.yaw_rad, sigma_yaw_rad=before.sigma_yaw_rad, up_array=before.up_array)
    return merged
