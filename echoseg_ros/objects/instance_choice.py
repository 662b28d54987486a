"""The choice of the instance that makes a sound: a posterior over instances and "elsewhere", steady over time.

For each instance the density of the source's position is averaged over the places from which the instance may sound (its
points and its box); "elsewhere" has a density of its own, which is the same everywhere and grows with the
probability that the source lies outside the mapped room. All densities are in 1/m^3: a small instance at the source wins
against a table that also reaches there, and an instance a few standard deviations away loses against elsewhere. Where the
hypotheses (sound/localisation/hypotheses.py) give probabilities of the instances, both are multiplied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numba import njit

from echoseg_ros.config import ChoiceConfig
from echoseg_ros.geometry import rotation_matrix
from echoseg_ros.objects.name_agreement import instance_factors
from echoseg_ros.sound.localisation.motion_hint import motion_hint
from echoseg_ros.sound.localisation.source_estimator import MIN_POSITIONS_TO_NAME, SourceEstimate, SourceEstimator
from echoseg_ros.sound.localisation.source_tracks import SourceTracks
from echoseg_ros.types import Box, Float64Array, Instance, MapSnapshot, SoundingObject, SoundSource, Verdict

# Density of "elsewhere", 1/m^3.
ELSEWHERE_PER_M3 = 0.1
# Further density of "elsewhere" if the source lies outside the mapped room, 1/m^3; it grows with that probability.
OUTSIDE_PER_M3 = 2.0
# Density added to every candidate before the probabilities of the hypotheses are multiplied, 1/m^3.
MIN_DENSITY_PER_M3 = 0.01
# A source lies inside its object, behind the observed surface: standard deviation of that offset, metres.
PLACE_ERROR_M = 0.05
# Points of an instance from which it may sound; as many places again lie on a grid in its box, of which the camera sees one side.
SAMPLED_POINTS = 48
_LINE = (np.arange(3) + 0.5) / 3 - 0.5
BOX_GRID = np.stack(np.meshgrid(_LINE, _LINE, _LINE, indexing="ij"), axis=-1).reshape(-1, 3)
# Prior of an instance: n / (n + FEW_VIEWS) for n proposing views.
FEW_VIEWS = 3.0
# Lead in probability that another instance needs to replace the chosen one.
SWITCH_MARGIN = 0.15


class InstanceChooser:
    """From source estimates to a verdict; keeps tracks and choices, so that neither flickers."""

    def __init__(self, config: ChoiceConfig) -> None:
        self._config = config
        self._tracks = SourceTracks()

    def rescale(self, factor: float) -> None:
        """Multiply all positions: the world is `factor` times as large as was thought."""
        self._tracks.rescale(factor)

    def decide(
        self,
        estimator: SourceEstimator,
        snapshot: MapSnapshot | None,
        stamp_ns: int,
        window_end_ns: int,
        name_shares: Mapping[int, Mapping[str, float]] | None = None,
    ) -> Verdict:
        """The verdict after the newest window. `snapshot` may be None while there is no map yet.

        name_shares: by source id, the share of each name that the tagger knows, for `choice.audio_visual`.
        """
        name_shares = name_shares or {}
        surface = snapshot.surface_points if snapshot is not None else np.empty((0, 3), dtype=np.float32)
        instances = snapshot.instances if snapshot is not None else ()
        estimates = estimator.update_estimates(surface, [_places(instance) for instance in instances])
        tracks = self._tracks.associate(estimates)
        shares = _activity_shares(estimates)
        sources, sounding = [], []
        for estimate, track, share in zip(estimates, tracks, shares, strict=True):
            candidates = posterior_over(estimate, instances, estimator.position_error_m)
            candidates = reweighted(candidates, _view_priors(instances))
            if self._config.audio_visual == "names":
                candidates = reweighted(candidates, instance_factors(instances, name_shares.get(track.id, {})))
            probabilities = dict(candidates)
            track.object_id = self._steady(track.object_id, probabilities)
            heard_intervals = track.update_heard_intervals(estimate)
            hint = motion_hint(
                estimate.position_m, estimate.covariance_m2, estimate.alternatives, estimate.array_position_m
            )
            source = SoundSource(
                track.id, estimate.position_m, estimate.covariance_m2, share, track.object_id, candidates, heard_intervals,
                estimate.alternatives, hint,
            )  # fmt: skip
            sources.append(source)
            instance = next((i for i in instances if i.id == track.object_id), None)
            if instance is not None:
                probability = probabilities[instance.id]
                sounding.append(SoundingObject(instance, source, probability, f"object {instance.id}"))
        order = sorted(range(len(sources)), key=lambda k: -sources[k].activity)
        sounding.sort(key=lambda found: -found.source.activity)
        return Verdict(stamp_ns, window_end_ns, tuple(sources[k] for k in order), tuple(sounding))

    def _steady(self, current: int | None, probabilities: dict[int | None, float]) -> int | None:
        """The instance to choose: the best one above the threshold; the current one unless it is clearly beaten."""
        least = self._config.min_probability
        best = max(probabilities, key=lambda key: (probabilities[key], key is None, -(key or 0)))
        held = probabilities.get(current, 0.0) if current is not None else 0.0
        if current is not None and held >= least - SWITCH_MARGIN and probabilities[best] < held + SWITCH_MARGIN:
            return current
        return best if best is not None and probabilities[best] >= least else None


def posterior_over(
    estimate: SourceEstimate, instances: tuple[Instance, ...], error_m: float
) -> tuple[tuple[int | None, float], ...]:
    """(instance id or None for elsewhere, probability), best first, of a source; sums to 1.

    error_m: standard deviation of the distance between the source and the points of its instance, metres.
    """
    ids = [*(instance.id for instance in instances), None]
    if estimate.instance_probabilities is not None and estimate.array_position_count < MIN_POSITIONS_TO_NAME:
        return _ranked(ids, estimate.instance_probabilities)
    error_m = max(error_m, PLACE_ERROR_M, estimate.position_posterior.spacing_m)
    densities = np.array([_density_at(estimate, _places(instance), error_m) for instance in instances])
    if estimate.instance_probabilities is None:
        odds = np.append(densities, ELSEWHERE_PER_M3 + OUTSIDE_PER_M3 * estimate.outside_probability)
    else:  # these include the outside
        odds = estimate.instance_probabilities * (np.append(densities, ELSEWHERE_PER_M3) + MIN_DENSITY_PER_M3)
    return _ranked(ids, odds / odds.sum())


def reweighted(
    candidates: tuple[tuple[int | None, float], ...], factors: Mapping[int, float]
) -> tuple[tuple[int | None, float], ...]:
    """The posterior multiplied by factors of the instances and normalised; the factor of elsewhere is 1."""
    odds = np.array([share * factors.get(key, 1.0) if key is not None else share for key, share in candidates])
    return _ranked([key for key, _ in candidates], odds / odds.sum())


def _view_priors(instances: Sequence[Instance]) -> dict[int, float]:
    """Prior of each instance by id, from the number of views that proposed it, relative to the largest prior."""
    chances = {instance.id: instance.views / (instance.views + FEW_VIEWS) for instance in instances}
    most = max(chances.values(), default=1.0)
    return {key: chance / most for key, chance in chances.items()}


def _ranked(ids: Sequence[int | None], probabilities: Float64Array) -> tuple[tuple[int | None, float], ...]:
    pairs = [(key, float(probability)) for key, probability in zip(ids, probabilities, strict=True)]
    return tuple(sorted(pairs, key=lambda pair: (-pair[1], pair[0] is not None, pair[0] or 0)))


def _density_at(estimate: SourceEstimate, places: Float64Array, error_m: float) -> float:
    """Mean density of the source's position over an instance's places, blurred by the error, 1/m^3."""
    cells, mass = estimate.position_posterior.cells, estimate.position_posterior.mass
    reach_m = 4 * error_m
    low, high = cells.min(axis=0) - reach_m, cells.max(axis=0) + reach_m
    near = np.all((places >= low) & (places <= high), axis=1)
    return float(_kernel_sum(cells, mass, places[near], error_m)) / len(places)


@njit(cache=True, nogil=True)
def _kernel_sum(cells, mass, places, error_m):  # type: ignore[no-untyped-def]
    """Sum over places [P, 3] of the density of cells [C, 3] with mass [C], blurred by a Gaussian of error_m."""
    total = 0.0
    inverse = 0.5 / (error_m * error_m)
    for i in range(len(places)):
        for c in range(len(cells)):
            dx, dy, dz = places[i, 0] - cells[c, 0], places[i, 1] - cells[c, 1], places[i, 2] - cells[c, 2]
            exponent = (dx * dx + dy * dy + dz * dz) * inverse
            if exponent < 9.0:
                total += mass[c] * np.exp(-exponent)
    return total / ((2 * np.pi) ** 1.5 * error_m**3)


def _places(instance: Instance) -> Float64Array:
    """[n, 3] places from which the instance may sound: a sample of its points, and a grid in its box."""
    count = len(instance.points_map)
    chosen = np.linspace(0, count - 1, min(count, SAMPLED_POINTS)).astype(np.int64)
    return np.concatenate([np.asarray(instance.points_map[chosen], dtype=float), _box_grid(instance.box)])


def _box_grid(box: Box) -> Float64Array:
    grid: Float64Array = BOX_GRID * box.size_m @ rotation_matrix(box.quaternion_xyzw).T + box.center_m
    return grid


def _activity_shares(estimates: tuple[SourceEstimate, ...]) -> list[float]:
    """Each source's share of the contrast of all sources."""
    heard = [float(np.sum(np.maximum(estimate.window_contrasts, 0))) for estimate in estimates]
    total = sum(heard)
    return [share / total if total > 0 else 0.0 for share in heard]
