"""Four instances on a table, and evidence of a moving array about one of them, in metres."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from upright_box import upright_box

from echoseg_ros.config import ChoiceConfig, SourceConfig
from echoseg_ros.geometry import transform
from echoseg_ros.objects.instance_choice import InstanceChooser
from echoseg_ros.sound.array.directions import fibonacci_sphere
from echoseg_ros.sound.localisation.source_estimator import SourceEstimator
from echoseg_ros.types import Float64Array, Instance, MapSnapshot, SoundEvidence, Verdict

# Height of the table, metres.
TABLE_Z_M = 0.75
PLACES = [np.array([2.0 + 0.25 * k, 2.0, TABLE_Z_M + 0.05]) for k in range(4)]
DIRECTIONS = fibonacci_sphere(1500).astype(np.float32)


def instance(number: int, center_m: Float64Array, size_m: float = 0.1) -> Instance:
    uniform = center_m + np.random.default_rng(number).uniform(-size_m / 2, size_m / 2, (80, 3))
    points = uniform.astype(np.float32)
    return Instance(number, np.arange(80), points, np.zeros((80, 3), np.uint8), center_m, upright_box(points), 5, 1.0)


def snapshot(instances: tuple[Instance, ...]) -> MapSnapshot:
    """A snapshot of instances on a table."""
    x, y = np.meshgrid(np.arange(1.5, 3.5, 0.05), np.arange(1.6, 2.6, 0.05))
    surface = np.column_stack([x.ravel(), y.ravel(), np.full(x.size, TABLE_Z_M)])
    points = np.concatenate([surface] + [i.points_map for i in instances]).astype(np.float32)
    none = np.full(len(points), -1, np.int32)
    return MapSnapshot(0, instances, points, np.zeros((len(points), 3), np.uint8), none, len(points))


def evidence(k: int, source_m: Float64Array | None, rng: np.random.Generator, turn_rad: float = 0.03) -> SoundEvidence:
    """Window k: a lobe with a random error of `turn_rad` towards the source and noise; only noise without a source."""
    at_m = np.array([1.6 + 0.04 * k, 0.6 + 0.1 * np.sin(0.3 * k), 1.3])
    energy = 0.125 + 0.003 * rng.standard_normal(len(DIRECTIONS))
    if source_m is not None:
        sight = (source_m - at_m) / np.linalg.norm(source_m - at_m) + turn_rad * rng.standard_normal(3)
        energy += 0.15 * np.exp((DIRECTIONS @ (sight / np.linalg.norm(sight)) - 1) / 0.03)
    bands_hz = np.array([[200.0, 6000.0]])
    activity = 0.95 if source_m is not None else 0.05
    energies = energy[None].astype(np.float32)
    stamp_ns = round((0.25 + 0.25 * k) * 1e9)
    return SoundEvidence(stamp_ns, 0.5, transform(np.eye(3), at_m), DIRECTIONS, energies, bands_hz, activity, -30.0)


def verdicts(
    sources_m: Sequence[Float64Array | None], map_snapshot: MapSnapshot | None, seed: int = 0
) -> list[Verdict]:
    """The verdict after each window of evidence about a source at each position [3], or about none."""
    rng = np.random.default_rng(seed)
    estimator, chooser = SourceEstimator(SourceConfig()), InstanceChooser(ChoiceConfig())
    found = []
    for k, source_m in enumerate(sources_m):
        window = evidence(k, source_m, rng)
        estimator.add(window)
        found.append(chooser.decide(estimator, map_snapshot, window.stamp_ns, window.stamp_ns + 250_000_000))
    return found
