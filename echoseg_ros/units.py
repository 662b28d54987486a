"""Poses without metric scale: conversion between map units and nominal metres.

The map needs no unit. Objects and sources have sizes and distances in metres. Where the poses have no metric scale, one
map unit is set to the number of nominal metres that makes the usual median depth of the views NOMINAL_DEPTH_M; results
are converted back into map units.
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

# Usual median depth of a robot's views in a room, m.
NOMINAL_DEPTH_M = 2.2
# Number of latest views whose median depths are averaged (by their median).
SCALE_VIEWS = 60
# Least relative change of the scale that is applied.
MIN_SCALE_CHANGE = 0.1
# Largest factor between nominal and true metres.
NOMINAL_ERROR = 1.8

Frame = TypeVar("Frame", bound=CameraFrame)


class MapScale:
    """Metres of one map unit: 1 for metric poses, else nominal metres from the depths of the views.

    metres_per_unit: None before the first view without metric scale; error: largest factor between these and true metres.
    """

    def __init__(self, pose_units: str) -> None:
        self._depths: deque[float] = deque(maxlen=SCALE_VIEWS)
        self.error = 1.0 if pose_units == "metres" else NOMINAL_ERROR
        self._metric = pose_units == "metres"
        self.metres_per_unit: float | None = 1.0 if self._metric else None

    def add_median_depth(self, median_depth: float) -> None:
        """Add the median depth of a view, in map units, and update the scale."""
        if self._metric:
            return
        self._depths.append(median_depth)
        estimate = NOMINAL_DEPTH_M / float(np.median(self._depths))
        current = self.metres_per_unit
        if current is None or abs(estimate / current - 1) > MIN_SCALE_CHANGE:
            self.metres_per_unit = estimate


def scaled_pose(T: Float64Array, factor: float) -> Float64Array:
    """Copy of a pose [4, 4] with its translation multiplied by `factor`."""
    scaled = np.array(T)
    scaled[:3, 3] *= factor
    return scaled


def scaled_frame(frame: Frame, factor: float) -> Frame:
    """Copy of a frame with all lengths multiplied by `factor`."""
    depth_m = None if frame.depth_m is None else frame.depth_m * np.float32(factor)
    return replace(frame, T_map_camera=scaled_pose(frame.T_map_camera, factor), depth_m=depth_m)


def scaled_evidence(evidence: SoundEvidence, factor: float, has_metres: bool) -> SoundEvidence:
    """Copy of evidence with the position of the array multiplied by `factor`; without metres it has no near field."""
    microphones_m = evidence.microphones_m if has_metres else None
    return replace(evidence, T_map_array=scaled_pose(evidence.T_map_array, factor), microphones_m=microphones_m)


def scaled_instance(instance: Instance, factor: float) -> Instance:
    """Copy of an instance with all lengths multiplied by `factor`."""
    if factor == 1.0:
        return instance
    box = Box(instance.box.center_m * factor, instance.box.size_m * factor, instance.box.quaternion_xyzw)
    points = instance.points_map * np.float32(factor)
    return replace(instance, points_map=points, position_m=instance.position_m * factor, box=box)


def scaled_snapshot(snapshot: MapSnapshot, factor: float) -> MapSnapshot:
    """Copy of a snapshot with all lengths multiplied by `factor`."""
    if factor == 1.0:
        return snapshot
    instances = tuple(scaled_instance(instance, factor) for instance in snapshot.instances)
    return replace(snapshot, instances=instances, surface_points=snapshot.surface_points * np.float32(factor))


def scaled_verdict(verdict: Verdict, factor: float) -> Verdict:
    """Copy of a verdict with all lengths multiplied by `factor`."""
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
