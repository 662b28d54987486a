"""The reflectors and instances of the room of waves.py, and the direction maps of sounds in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from waves import ROOM_M, cube, evidence_along, path

from echoseg_ros.config import SourceConfig
from echoseg_ros.sound.localisation.lobe_matching import DirectionMaps
from echoseg_ros.sound.localisation.reflectors import Reflector
from echoseg_ros.sound.localisation.source_estimator import SourceEstimator
from echoseg_ros.types import Float32Array, Float64Array, SoundEvidence

# Centres of instances in the room; the first two are half a metre apart.
INSTANCES_M = np.array([[3.2, 3.4, 0.8], [3.7, 3.4, 0.8], [1.2, 4.2, 1.1], [4.8, 1.2, 0.4], [0.8, 2.6, 0.2]])
_SPREAD_M = 0.05 * np.array([[x, y, z] for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)])
INSTANCE_POINTS: list[Float64Array] = [center + _SPREAD_M for center in INSTANCES_M]


def plane(axis: int, at_m: float, sign: float) -> Reflector:
    """An unbounded plane across an axis, with its normal along or against the axis."""
    normal = sign * np.eye(3)[axis]
    return Reflector(normal, sign * at_m, np.eye(3), np.full(3, -np.inf), np.full(3, np.inf))


WALLS = tuple(plane(axis, at, sign) for axis in (0, 1) for at, sign in ((0.0, 1.0), (float(ROOM_M[axis]), -1.0)))
FLOOR, CEILING = plane(2, 0.0, 1.0), plane(2, float(ROOM_M[2]), -1.0)


def room_surface() -> Float32Array:
    """[S, 3] points on floor and walls of the room."""
    rng, parts = np.random.default_rng(0), []
    for axis, at in ((0, 0.0), (0, ROOM_M[0]), (1, 0.0), (1, ROOM_M[1]), (2, 0.0)):
        points = rng.uniform(0, ROOM_M, (3000, 3))
        points[:, axis] = at
        parts.append(points)
    return np.concatenate(parts).astype(np.float32)


def mixed_evidence(
    places: list[Float64Array], shares: list[float], seed: int = 0, direct: float = 1.0
) -> list[SoundEvidence]:
    """Evidence along a path of several sounds that share all bands; direct: gain of the direct path."""
    evidence = [
        evidence_along(cube(), path(24), [place] * 24, seed + k, direct=direct) for k, place in enumerate(places)
    ]
    return [
        replace(windows[0], energy=sum(share * e.energy for share, e in zip(shares, windows, strict=True)))
        for windows in zip(*evidence, strict=True)
    ]


def direction_maps_of(evidence: list[SoundEvidence]) -> DirectionMaps:
    """The direction maps of all windows, with one lobe table."""
    estimator = SourceEstimator(SourceConfig())
    for window in evidence:
        estimator.add(replace(window, lobes=evidence[0].lobes))
    slots, weights = estimator._weighted_windows()
    observed = estimator.memory.direction_maps(slots, weights)
    assert observed is not None
    return observed
