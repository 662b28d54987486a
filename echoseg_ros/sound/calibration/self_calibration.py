"""Self-calibration from motion: the audio's time offset, the array's yaw and a head's radius, found while it listens.

A source that stands still is heard from one place only if every moment is turned by the pose of its own time, by the
array's true mounting and by a head's true size: while the robot turns and moves, anything wrong smears the
back-projection. Moments (`moments.py`) of the last 30 s are kept, and the search (`calibration_search.py`) looks for what
makes them sharpest together.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from echoseg_ros.geometry import PoseTrack, inverse, transform
from echoseg_ros.sound.array.array_geometry import ArrayGeometry, Head
from echoseg_ros.sound.calibration.calibration_search import MAX_OFFSET_S, OFFSET, PRIOR_STD, SCALE, YAW, Search
from echoseg_ros.sound.calibration.moments import Moment, MomentExtractor
from echoseg_ros.sound.calibration.pose_grid import PoseGrid
from echoseg_ros.types import BACKWARD_JUMP_NS, AudioWindow, Float64Array, SoundEvidence

log = logging.getLogger(__name__)

# Moments kept, and how many seconds of sound make a first estimate.
MEMORY_S, MIN_HEARD_S = 30.0, 8.0
# Sensor time from one estimate of a running calibration (0.15 to 0.6 s of one core each) to the next: the first, and
# the longest of those that follow, each twice as long, which hears nothing twice.
PERIOD_S, LONGEST_PERIOD_S = 5.0, MEMORY_S
# Reflections bias neighbouring blocks alike, so they contradict each other too little: by these factors.
_INFLATION = np.array([1.0, 1.0, 1.0, 1.4, 2.0, 1.5])
# Errors that more sound does not remove: the straight sound is not all that is heard.
_LEAST_SIGMA_S, _LEAST_SIGMA_RAD, _LEAST_SIGMA_SCALE = 0.003, np.radians(1.0), 0.01
# Known better than this, an offset or a yaw is applied. (A robot's tour often tells the offset alone: a source to the side
# of a straight way looks like a turned array.)
ENOUGH_S, ENOUGH_RAD = 0.05, np.radians(3.0)
# A head's size is taken over if it is known this well, and is off by more than this and by three of its sigmas.
SURE_SCALE, LEAST_SCALE = 0.05, 0.04


@dataclass(frozen=True)
class CalibrationEstimate:
    """What the motion says about clock and mounting, against how they are set now.

    offset_s: to be added to audio stamps; yaw_rad: by how much the array is turned on the robot, about up_array [3], the
    direction of the map's up axis in the array frame (mean over the motion); sigma_*: standard deviations, as large as
    the prior's (0.2 s, 1 rad) where the motion does not tell; contrast: mean contrast of the sound towards the best place
    (1 = a lone plane wave); head_radius_m and its sigma: of a spherical head, None for other arrays.
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
        """Whether the motion was enough to tell the offset."""
        return self.sigma_offset_s < ENOUGH_S

    @property
    def knows_yaw(self) -> bool:
        """Whether the motion was enough to tell the yaw."""
        return self.sigma_yaw_rad < ENOUGH_RAD

    def T_array_true(self) -> Float64Array:
        """[4, 4] takes points of the array as it is mounted into the array frame as it is described."""
        return transform(Rotation.from_rotvec(self.yaw_rad * self.up_array).as_matrix(), np.zeros(3))

    def __str__(self) -> str:
        offset = f"audio offset {1e3 * self.offset_s:+.0f} ms (+-{1e3 * self.sigma_offset_s:.0f})"
        yaw = f"array yaw {np.degrees(self.yaw_rad):+.1f} degrees (+-{np.degrees(self.sigma_yaw_rad):.1f})"
        head = "" if self.head_radius_m is None else (
            f", head radius {1e3 * self.head_radius_m:.0f} mm (+-{1e3 * (self.sigma_head_radius_m or 0.0):.0f})"
        )  # fmt: skip
        return (
            f"{offset}, {yaw}{head}{'' if self.knows_offset and self.knows_yaw else '; the motion does not tell more'}"
        )


@dataclass(frozen=True)
class _Heard:
    """A moment, and how far it stands out of the noise."""

    moment: Moment
    activity: float


class SelfCalibration:
    """Windows of a moving array in, its clock and yaw out. Holds the last 30 s; one thread uses it."""

    def __init__(self, array: ArrayGeometry) -> None:
        self._array = array
        self._extract: MomentExtractor | None = None
        self._pairs, self._lag_step_s = np.stack(np.triu_indices(array.microphones, 1), axis=1), 0.0
        self.clear()

    def add(self, evidence: SoundEvidence, poses: PoseTrack, window: AudioWindow | None = None) -> None:
        """Remember a window; `poses` is the camera's track as it came, T_map_camera by sensor time.

        Without the window itself the evidence's correlations stand for one long moment: less sharp.
        """
        if self._heard and evidence.stamp_ns < self._heard[-1].moment.stamp_ns - BACKWARD_JUMP_NS:
            self.clear()
        for moment in self._long_moment(evidence) if window is None else self._moments(window):
            self._heard.append(_Heard(moment, evidence.activity))
        while self._heard and self._heard[0].moment.stamp_ns < evidence.stamp_ns - MEMORY_S * 1e9:
            self._heard.popleft()
        if self._heard:
            self._poses.extend(poses, self._heard[0].moment.stamp_ns)

    def _moments(self, window: AudioWindow) -> list[Moment]:
        if self._extract is None:
            self._extract = MomentExtractor(self._array, window.sample_rate_hz)
            self._lag_step_s = self._extract.lag_step_s
        return self._extract(window)

    def _long_moment(self, evidence: SoundEvidence) -> list[Moment]:
        if evidence.correlation is None:
            return []
        self._lag_step_s = evidence.lag_step_s
        whole = evidence.correlation * np.float32(self._array.microphones**2 / 2)
        since_s = (evidence.stamp_ns - self._heard[-1].moment.stamp_ns) / 1e9 if self._heard else evidence.duration_s
        return [Moment(evidence.stamp_ns, min(since_s, evidence.duration_s), 1.0, whole)]

    def clear(self) -> None:
        """Forget everything (time went backwards)."""
        self._heard: deque[_Heard] = deque()
        self._poses = PoseGrid(MAX_OFFSET_S + 0.05)  # the search looks a step beyond

    def estimate(self) -> CalibrationEstimate | None:
        """The best offset, yaw and head radius of the last 30 s, None before some seconds of sound."""
        heard = [h for h in self._heard if h.activity > 0.05 and self._poses.around(h.moment.stamp_ns)]
        if sum(h.activity * h.moment.length_s for h in heard) < MIN_HEARD_S:
            return None
        weights = np.array([h.activity * h.moment.weight**2 for h in heard])
        moments = [h.moment for h in heard]
        search = Search(moments, weights / weights.mean(), self._poses, self._array, self._pairs, self._lag_step_s)
        found = search.maximum()
        best = found.parameters
        sigmas = np.minimum(_INFLATION[: len(best)] * found.sigmas, PRIOR_STD[: len(best)])
        sigma_s, sigma_rad = max(float(sigmas[OFFSET]), _LEAST_SIGMA_S), max(float(sigmas[YAW]), _LEAST_SIGMA_RAD)
        if abs(best[OFFSET]) > MAX_OFFSET_S - 0.03:
            sigma_s = float(PRIOR_STD[OFFSET])
        yaw_rad = float((best[YAW] + np.pi) % (2 * np.pi) - np.pi)
        radius_m = sigma_m = None
        if len(best) > SCALE and self._array.head is not None and self._array.head.radius_m is not None:
            radius_m = self._array.head.radius_m * float(np.exp(best[SCALE]))
            sigma_m = radius_m * max(float(sigmas[SCALE]), _LEAST_SIGMA_SCALE)
        return CalibrationEstimate(
            float(best[OFFSET]), yaw_rad, sigma_s, sigma_rad, search.up_array, found.contrast, radius_m, sigma_m
        )


def _with_what_is_known(newest: CalibrationEstimate, before: CalibrationEstimate | None) -> CalibrationEstimate | None:
    """The newest estimate, with the offset or the yaw of the one before where only that knew it; None if none knows any."""
    if before is None:
        return newest if newest.knows_offset or newest.knows_yaw else None
    known = newest
    if not newest.knows_offset:
        known = replace(known, offset_s=before.offset_s, sigma_offset_s=before.sigma_offset_s)
    if not newest.knows_yaw:
        known = replace(known, yaw_rad=before.yaw_rad, sigma_yaw_rad=before.sigma_yaw_rad, up_array=before.up_array)
    return known


class CorrectedPoses(PoseTrack):
    """A camera's track as it has to be read for audio and array whose calibration was found to be off.

    What the estimate does not know is left as it was described.
    """

    def __init__(self, track: PoseTrack, array: ArrayGeometry, estimate: CalibrationEstimate) -> None:
        self._track = track
        self._offset_ns = round(estimate.offset_s * 1e9) if estimate.knows_offset else 0
        T_array_true = estimate.T_array_true() if estimate.knows_yaw else np.eye(4)
        self._T_camera_true = array.T_camera_array @ T_array_true @ inverse(array.T_camera_array)

    def __len__(self) -> int:
        return len(self._track)

    @property
    def newest_ns(self) -> int | None:
        """See PoseTrack; in the audio's time."""
        newest_ns = self._track.newest_ns
        return None if newest_ns is None else newest_ns - self._offset_ns

    def at(self, stamp_ns: int) -> Float64Array | None:
        """T_map_camera [4, 4] such that the array as it is described is where the array is."""
        T_map_camera = self._track.at(stamp_ns + self._offset_ns)
        return None if T_map_camera is None else T_map_camera @ self._T_camera_true


class CalibrationWatch:
    """Calibration beside a running sound side: estimates, ever more seldom, applied to the poses if asked to.

    mode: off, report or apply, as `sound.self_calibration`. `newest` is the last estimate, `applied` the one in use.
    `array` has the head radius that was found: a wrong one breaks positions, so it is taken over unless mode is off.
    """

    def __init__(self, array: ArrayGeometry, mode: str) -> None:
        self._array, self._mode = array, mode
        self._calibration = SelfCalibration(array)
        self._due_ns: int | None = None
        self._period_s = PERIOD_S
        self.array = array
        self.newest: CalibrationEstimate | None = None
        self.applied: CalibrationEstimate | None = None

    def add(self, evidence: SoundEvidence, poses: PoseTrack, window: AudioWindow | None = None) -> None:
        """Take a window and the camera's track as it came."""
        if self._mode == "off":
            return
        self._calibration.add(evidence, poses, window)
        if self._due_ns is None or evidence.stamp_ns < self._due_ns - 2 * LONGEST_PERIOD_S * 1e9:
            self._period_s = PERIOD_S
            self._due_ns = evidence.stamp_ns + int(self._period_s * 1e9)
        if evidence.stamp_ns < self._due_ns:
            return
        estimate = self._calibration.estimate()
        if estimate is not None:  # too little sound costs nothing: it is soon asked again
            self._period_s = min(2 * self._period_s, LONGEST_PERIOD_S)
        self._due_ns = evidence.stamp_ns + int(self._period_s * 1e9)
        self.newest = estimate or self.newest
        if self.newest is None:
            return
        self._resize_head(self.newest)
        if self._mode == "apply":
            self.applied = _with_what_is_known(self.newest, self.applied)

    def _resize_head(self, found: CalibrationEstimate) -> None:
        radius_m, sigma_m, head = found.head_radius_m, found.sigma_head_radius_m, self.array.head
        if radius_m is None or sigma_m is None or head is None or head.radius_m is None:
            return
        off_m = abs(radius_m - head.radius_m)
        if sigma_m < SURE_SCALE * radius_m and off_m > max(LEAST_SCALE * head.radius_m, 3 * sigma_m):
            log.warning("head radius %.1f mm instead of %.1f (+-%.1f), found from the motion: delays are taken to be so",
                        1e3 * radius_m, 1e3 * head.radius_m, 1e3 * sigma_m)  # fmt: skip
            self.array = replace(self.array, head=Head(radius_m=radius_m))

    def poses(self, track: PoseTrack) -> PoseTrack:
        """The track as the sound has to read it."""
        return track if self.applied is None else CorrectedPoses(track, self._array, self.applied)

    def clear(self) -> None:
        """Forget the windows (time went backwards); what was found stays."""
        self._calibration.clear()
        self._due_ns = None
