"""Poses without metres: what is seen and heard is put into nominal metres for the stages that think in metres.

The map itself needs no unit. Objects and sources do: a mug is 10 cm, a voice carries metres. Where the poses have no
metric scale, the usual median depth of the views is taken for NOMINAL_DEPTH_M; results go back into the map's units.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TypeVar

import numpy as np

from echoseg_ros.types import (
    Box,
    CameraFrame,
    Float64Array,
    Instance,
    MapSnapshot,
    MotionHint,
    SoundEvidence,
    SoundingObject,
    SoundSource,
    Verdict,
)

# What a robot in a room usually looks at: the median over a recording of its views' median depths is 1.9 m in the real
# kitchen and 2.1 to 2.8 m in seven simulated rooms, where single views reach from 1 to 3.3 m.
NOMINAL_DEPTH_M = 2.2
# Views that the usual depth is taken over, and how far the scale must be off before it is changed.
VIEWS, WORTH_A_CHANGE = 60, 0.1
# What nominal metres may be off by: in a small bathroom they made things 1.65 times as large as they were.
NOMINAL_ERROR = 1.8

Frame = TypeVar("Frame", bound=CameraFrame)


class MapScale:
    """Metres of one map unit; where the poses have none (`input.pose_units` = arbitrary), nominal ones from what is seen."""

    def __init__(self, pose_units: str) -> None:
        self._depths: deque[float] = deque(maxlen=VIEWS)
        self.error = 1.0 if pose_units == "metres" else NOMINAL_ERROR
        self._metric = pose_units == "metres"
        self.metres_per_unit: float | None = 1.0 if self._metric else None

    def add_median_depth(self, median_depth: float) -> None:
        """Take note of a view's median depth, in map units."""
        if self._metric:
            return
        self._depths.append(median_depth)
        estimate = NOMINAL_DEPTH_M / float(np.median(self._depths))
        now = self.metres_per_unit
        if now is None or abs(estimate / now - 1) > WORTH_A_CHANGE:
            self.metres_per_unit = estimate


def scaled_pose(T: Float64Array, factor: float) -> Float64Array:
    """A pose [4, 4] whose translation is multiplied."""
    scaled = np.array(T)
    scaled[:3, 3] *= factor
    return scaled


def scaled_frame(frame: Frame, factor: float) -> Frame:
    """A frame of a world that is `factor` times as large."""
    depth_m = None if frame.depth_m is None else frame.depth_m * np.float32(factor)
    return replace(frame, T_map_camera=scaled_pose(frame.T_map_camera, factor), depth_m=depth_m)


def scaled_evidence(evidence: SoundEvidence, factor: float, has_metres: bool) -> SoundEvidence:
    """Evidence of an array in a world that is `factor` times as large; without metres no wave is too near to be plane."""
    microphones_m = evidence.microphones_m if has_metres else None
    return replace(evidence, T_map_array=scaled_pose(evidence.T_map_array, factor), microphones_m=microphones_m)


def scaled_instance(instance: Instance, factor: float) -> Instance:
    """An instance of a world that is `factor` times as large."""
    if factor == 1.0:
        return instance
    box = Box(instance.box.center_m * factor, instance.box.size_m * factor, instance.box.quaternion_xyzw)
    points = instance.points_map * np.float32(factor)
    return replace(instance, points_map=points, position_m=instance.position_m * factor, box=box)


def scaled_snapshot(snapshot: MapSnapshot, factor: float) -> MapSnapshot:
    """A snapshot of a world that is `factor` times as large."""
    if factor == 1.0:
        return snapshot
    instances = tuple(scaled_instance(instance, factor) for instance in snapshot.instances)
    return replace(snapshot, instances=instances, surface_points=snapshot.surface_points * np.float32(factor))


def scaled_verdict(verdict: Verdict, factor: float) -> Verdict:
    """A verdict on a world that is `factor` times as large."""
    if factor == 1.0:
        return verdict
    sources = {source.id: _scaled_source(source, factor) for source in verdict.sources}
    sounding = tuple(
        SoundingObject(scaled_instance(s.instance, factor), sources[s.source.id], s.probability, s.label)
        for s in verdict.sounding
    )
    return replace(verdict, sources=tuple(sources.values()), sounding=sounding)


def _scaled_source(source: SoundSource, factor: float) -> SoundSource:
    return replace(
        source,
        position_m=source.position_m * factor,
        covariance_m2=source.covariance_m2 * factor**2,
        alternatives=tuple((probability, place * factor) for probability, place in source.alternatives),
        hint=None if source.hint is None else _scaled_hint(source.hint, factor),
    )


def _scaled_hint(hint: MotionHint, factor: float) -> MotionHint:
    vector_map = hint.vector_map * factor if hint.kind == "move" else hint.vector_map
    return replace(hint, from_map=hint.from_map * factor, vector_map=vector_map)
