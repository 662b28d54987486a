"""Self-calibration from motion: time offset of the audio, yaw of the array, radius of a spherical head.

The back-projection of a source that stands still is sharp only if the robot's pose at the right time, the right
orientation of the array and the right head size are used: while the robot moves and turns, each error smears it. The
sub-windows (`sub_windows.py`) of the last 30 s are kept, and a search (`calibration_search.py`) finds the values for which
they agree best on one place.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from echoseg_ros.geometry import PoseTrack, transform
from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.sound.calibration.calibration_search import (
    MAX_OFFSET_S,
    OFFSET,
    PRIOR_SIGMAS,
    SCALE,
    YAW,
    CalibrationSearch,
)
from echoseg_ros.sound.calibration.resampled_poses import ResampledPoses
from echoseg_ros.sound.calibration.sub_windows import SubWindow, SubWindowExtractor
from echoseg_ros.types import BACKWARD_JUMP_NS, AudioWindow, Float64Array, SoundEvidence

# Sensor time for which sub-windows are kept.
MEMORY_S = 30.0
# Least time with sound, weighted by activity, before a first estimate.
MIN_ACTIVE_S = 8.0
# Windows of less activity are left out of an estimate.
MIN_ACTIVITY = 0.05
# An offset this near to the limit of the search counts as unknown.
OFFSET_LIMIT_MARGIN_S = 0.03
# The search looks one step beyond its limit: poses have to be known that much further.
POSE_MARGIN_S = 0.05
# Factors on the standard deviations of the search, in the order of its parameters: reflections bias neighbouring blocks
# alike, which their scatter does not show.
_SIGMA_FACTORS = np.array([1.0, 1.0, 1.0, 1.4, 2.0, 1.5])
# Least standard deviations: errors by reflections that more sound does not remove.
_MIN_SIGMA_OFFSET_S = 0.003
_MIN_SIGMA_YAW_RAD = np.radians(1.0)
_MIN_SIGMA_SCALE = 0.01
# Offset and yaw count as known below these standard deviations.
MAX_SIGMA_OFFSET_S = 0.05
MAX_SIGMA_YAW_RAD = float(np.radians(3.0))


@dataclass(frozen=True)
class CalibrationEstimate:
    """Errors of the settings of clock and mounting, estimated from the motion.

    offset_s: to be added to audio stamps; yaw_rad: turn of the array as mounted against the array as described, about
    up_array [3], the direction of the map's up axis in the array frame (mean over the motion); sigma_*: standard
    deviations, as large as those of the prior (0.2 s, 1 rad) where the motion leaves the value open; contrast: mean
    contrast of the sound towards the best place (1 = a lone plane wave); head_radius_m and its sigma: of a spherical head,
    None for other arrays.
    """

    offset_s: float
    yaw_rad: float
    sigma_offset_s: float
    sigma_yaw_rad: float
    up_array: Float64Array
    contrast: float
    head_radius_m: float | None = None
    sigma_head_radius_m: float | None = None

    @property
    def knows_offset(self) -> bool:
        """Whether the offset is certain enough to be applied."""
        return self.sigma_offset_s < MAX_SIGMA_OFFSET_S

    @property
    def knows_yaw(self) -> bool:
        """Whether the yaw is certain enough to be applied."""
        return self.sigma_yaw_rad < MAX_SIGMA_YAW_RAD

    @property
    def T_array_mounted(self) -> Float64Array:
        """[4, 4] takes points of the array as it is mounted into the array frame as it is described."""
        return transform(Rotation.from_rotvec(self.yaw_rad * self.up_array).as_matrix(), np.zeros(3))

    def __str__(self) -> str:
        parts = [
            f"audio offset {1e3 * self.offset_s:+.0f} ms (+-{1e3 * self.sigma_offset_s:.0f})",
            f"array yaw {np.degrees(self.yaw_rad):+.1f} degrees (+-{np.degrees(self.sigma_yaw_rad):.1f})",
        ]
        if self.head_radius_m is not None:
            sigma_mm = 1e3 * (self.sigma_head_radius_m or 0.0)
            parts.append(f"head radius {1e3 * self.head_radius_m:.0f} mm (+-{sigma_mm:.0f})")
        open_values = [name for name, known in (("offset", self.knows_offset), ("yaw", self.knows_yaw)) if not known]
        unknown = f"; the motion so far does not determine the {' or the '.join(open_values)}" if open_values else ""
        return ", ".join(parts) + unknown


@dataclass(frozen=True)
class _ActiveSubWindow:
    """A sub-window and the activity of its audio window."""

    sub_window: SubWindow
    activity: float


class SelfCalibration:
    """Estimates time offset, yaw and head radius from the windows of the last 30 s. Owned by one thread."""

    def __init__(self, array: ArrayGeometry) -> None:
        self._array = array
        self._extract: SubWindowExtractor | None = None
        self._pairs, self._lag_step_s = np.stack(np.triu_indices(array.microphones, 1), axis=1), 0.0
        self.clear()

    def add(self, evidence: SoundEvidence, poses: PoseTrack, window: AudioWindow | None = None) -> None:
        """Adds a window; `poses` is the uncorrected track of T_map_camera by sensor time.

        Without the window itself the correlations of the evidence serve as one long sub-window, which is less sharp.
        """
        recent = self._recent
        if recent and evidence.stamp_ns < recent[-1].sub_window.stamp_ns - BACKWARD_JUMP_NS:
            self.clear()
            recent = self._recent
        for sub_window in self._whole_window(evidence) if window is None else self._sub_windows(window):
            recent.append(_ActiveSubWindow(sub_window, evidence.activity))
        while recent and recent[0].sub_window.stamp_ns < evidence.stamp_ns - MEMORY_S * 1e9:
            recent.popleft()
        if recent:
            self._poses.extend(poses, recent[0].sub_window.stamp_ns)

    def _sub_windows(self, window: AudioWindow) -> list[SubWindow]:
        if self._extract is None:
            self._extract = SubWindowExtractor(self._array, window.sample_rate_hz)
            self._lag_step_s = self._extract.lag_step_s
        return self._extract(window)

    def _whole_window(self, evidence: SoundEvidence) -> list[SubWindow]:
        if evidence.correlation is None:
            return []
        self._lag_step_s = evidence.lag_step_s
        correlation = evidence.correlation * np.float32(self._array.microphones**2 / 2)
        since_last_s = evidence.duration_s
        if self._recent:
            since_last_s = (evidence.stamp_ns - self._recent[-1].sub_window.stamp_ns) / 1e9
        return [SubWindow(evidence.stamp_ns, min(since_last_s, evidence.duration_s), 1.0, correlation)]

    def clear(self) -> None:
        """Drops all windows and poses, as after a backward time jump."""
        self._recent: deque[_ActiveSubWindow] = deque()
        self._poses = ResampledPoses(MAX_OFFSET_S + POSE_MARGIN_S)

    def estimate(self) -> CalibrationEstimate | None:
        """The best offset, yaw and head radius for the last 30 s; None before there is enough sound."""
        used = [a for a in self._recent if a.activity > MIN_ACTIVITY and self._poses.cover(a.sub_window.stamp_ns)]
        if sum(a.activity * a.sub_window.length_s for a in used) < MIN_ACTIVE_S:
            return None
        weights = np.array([a.activity * a.sub_window.weight**2 for a in used])
        sub_windows = [a.sub_window for a in used]
        search = CalibrationSearch(
            sub_windows, weights / weights.mean(), self._poses, self._array, self._pairs, self._lag_step_s
        )
        found = search.best_fit()
        best = found.parameters
        sigmas = np.minimum(_SIGMA_FACTORS[: len(best)] * found.sigmas, PRIOR_SIGMAS[: len(best)])
        sigma_offset_s = max(float(sigmas[OFFSET]), _MIN_SIGMA_OFFSET_S)
        sigma_yaw_rad = max(float(sigmas[YAW]), _MIN_SIGMA_YAW_RAD)
        if abs(best[OFFSET]) > MAX_OFFSET_S - OFFSET_LIMIT_MARGIN_S:
            sigma_offset_s = float(PRIOR_SIGMAS[OFFSET])
        yaw_rad = float((best[YAW] + np.pi) % (2 * np.pi) - np.pi)
        radius_m = sigma_radius_m = None
        if len(best) > SCALE and self._array.head is not None and self._array.head.radius_m is not None:
            radius_m = self._array.head.radius_m * float(np.exp(best[SCALE]))
            sigma_radius_m = radius_m * max(float(sigmas[SCALE]), _MIN_SIGMA_SCALE)
        return CalibrationEstimate(
            float(best[OFFSET]),
            yaw_rad,
            sigma_offset_s,
            sigma_yaw_rad,
            search.up_array,
            found.contrast,
            radius_m,
            sigma_radius_m,
        )
