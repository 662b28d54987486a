"""Which instance makes a sound, or none of them: a posterior over instances and "elsewhere", steady over time.

For each instance the source's place posterior is averaged over where the instance may sound from (its points and its
box); "elsewhere" competes with an even density. All densities are in 1/m^3, so a small object right at the source wins
against a table that also reaches there, and an object a few standard deviations away loses against elsewhere. Where the
sound side says which of the instances explains what was heard (hypotheses.py), both count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numba import njit
from numpy.typing import NDArray

from echoseg_ros.config import ChoiceConfig
from echoseg_ros.geometry import rotation_matrix
from echoseg_ros.objects.name_agreement import instance_factors
from echoseg_ros.sound.localisation.motion_hint import motion_hint
from echoseg_ros.sound.localisation.source_estimator import MIN_POSITIONS_TO_NAME, SourceEstimate, SourceEstimator
from echoseg_ros.types import Box, Float64Array, Instance, Interval, MapSnapshot, SoundingObject, SoundSource, Verdict

# Density of "elsewhere", 1/m^3, as if it were an object of this inverse volume: with a position good to 10 cm an object
# loses against it at 0.3 m, with 5 cm at 0.2 m; one whose range is open over metres still wins alone on its ray.
ELSEWHERE_PER_M3 = 0.1
# So much more of it as the place may lie outside of the mapped room: what is heard through a wall stays on a ray for
# long, and the things on that ray did not do it.
OUTSIDE_PER_M3 = 2.0
# What explains the sound best and where its place is densest err each in its own way, so both are asked, the density once the
# sound was heard from PLACES_TO_NAME places (before, it is as sure of a wrong thing); it is not believed to be below this.
LEAST_PER_M3 = 0.01
# What sounds in an object need not lie where its seen points are.
PLACE_ERROR_M = 0.05
# Places an instance may sound from: of its points, and of a grid in its box (the camera sees one side only).
SAMPLED_POINTS = 48
_LINE = (np.arange(3) + 0.5) / 3 - 0.5
BOX_GRID = np.stack(np.meshgrid(_LINE, _LINE, _LINE, indexing="ij"), axis=-1).reshape(-1, 3)
# An instance that so many views proposed is half as likely to be an object at all as one that very many did.
FEW_VIEWS = 3.0
# The chosen instance is kept until another one is ahead by this much.
SWITCH_MARGIN = 0.15
# A source this near to one of before (or within its spread) is the same one.
SAME_SOURCE_M = 0.5
# A window hears the source from this share of the source's usual contrast on, and until it falls below the lower one.
HEARD_ON, HEARD_OFF = 0.5, 0.25
# Pauses shorter than this do not end an interval: a clock that ticks is one sound.
HEARD_PAUSE_S = 1.0


@dataclass
class Track:
    """One source over time. `heard_before`: what has left the tracker's memory; `windows`: what is still in it."""

    id: int
    position_m: Float64Array
    object_id: int | None = None
    heard_before: list[Interval] = field(default_factory=list)
    windows: list[tuple[Interval, bool]] = field(default_factory=list)


class InstanceChooser:
    """From beliefs to a verdict; remembers sources and choices so that neither flickers."""

    def __init__(self, config: ChoiceConfig) -> None:
        self._config = config
        self._tracks: list[Track] = []
        self._next_id = 0

    def rescale(self, factor: float) -> None:
        """The world is `factor` times as large as was thought."""
        for track in self._tracks:
            track.position_m = track.position_m * factor

    def clear(self) -> None:
        """Forget sources and choices (ids go on)."""
        self._tracks.clear()

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
        beliefs = estimator.update_estimates(surface, [_places(instance) for instance in instances])
        tracks = self._match(beliefs)
        shares = _shares(beliefs)
        sources, sounding = [], []
        for belief, track, share in zip(beliefs, tracks, shares, strict=True):
            candidates = posterior_over(belief, instances, estimator.position_error_m)
            candidates = reweighted(candidates, _by_views(instances))
            if self._config.audio_visual == "names":
                candidates = reweighted(candidates, instance_factors(instances, name_shares.get(track.id, {})))
            probabilities = dict(candidates)
            track.object_id = self._steady(track.object_id, probabilities)
            heard = _update_heard(track, belief)
            hint = motion_hint(belief.position_m, belief.covariance_m2, belief.alternatives, belief.array_position_m)
            source = SoundSource(
                track.id, belief.position_m, belief.covariance_m2, share, track.object_id, candidates, heard,
                belief.alternatives, hint,
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
        """The instance to name: the best one above the threshold, the current one unless clearly beaten."""
        least = self._config.min_probability
        best = max(probabilities, key=lambda key: (probabilities[key], key is None, -(key or 0)))
        held = probabilities.get(current, 0.0) if current is not None else 0.0
        if current is not None and held >= least - SWITCH_MARGIN and probabilities[best] < held + SWITCH_MARGIN:
            return current
        return best if best is not None and probabilities[best] >= least else None

    def _match(self, beliefs: tuple[SourceEstimate, ...]) -> list[Track]:
        """A track for each belief, the nearest free one of before if it is near enough; others are forgotten."""
        free = list(self._tracks)
        matched = []
        for belief in beliefs:
            nearest = _nearest(free, belief.position_m)
            if nearest is not None and _same(nearest, belief):
                free.remove(nearest)
            else:
                nearest = Track(self._next_id, belief.position_m)
                self._next_id += 1
            nearest.position_m = belief.position_m
            matched.append(nearest)
        self._tracks = matched
        return matched


def posterior_over(
    belief: SourceEstimate, instances: tuple[Instance, ...], error_m: float
) -> tuple[tuple[int | None, float], ...]:
    """(instance id or None for elsewhere, probability), best first, of a source; sums to 1.

    error_m: standard deviation of what separates the posterior's place from the sounding instance's points.
    """
    ids = [*(instance.id for instance in instances), None]
    if belief.instance_probabilities is not None and belief.array_position_count < MIN_POSITIONS_TO_NAME:
        return _ranked(ids, belief.instance_probabilities)
    error_m = max(error_m, PLACE_ERROR_M, belief.posterior.spacing_m)
    densities = np.array([_density_at(belief, _places(instance), error_m) for instance in instances])
    if belief.instance_probabilities is None:
        odds = np.append(densities, ELSEWHERE_PER_M3 + OUTSIDE_PER_M3 * belief.outside_probability)
    else:  # which knows of the outside
        odds = belief.instance_probabilities * (np.append(densities, ELSEWHERE_PER_M3) + LEAST_PER_M3)
    return _ranked(ids, odds / odds.sum())


def reweighted(
    candidates: tuple[tuple[int | None, float], ...], factors: Mapping[int, float]
) -> tuple[tuple[int | None, float], ...]:
    """The posterior after something else spoke for or against the instances, by factors; elsewhere it says nothing of."""
    odds = np.array([share * factors.get(key, 1.0) if key is not None else share for key, share in candidates])
    return _ranked([key for key, _ in candidates], odds / odds.sum())


def _by_views(instances: Sequence[Instance]) -> dict[int, float]:
    """By id, how likely each instance is an object, by the views that proposed it, against the likeliest."""
    chances = {instance.id: instance.views / (instance.views + FEW_VIEWS) for instance in instances}
    most = max(chances.values(), default=1.0)
    return {key: chance / most for key, chance in chances.items()}


def _ranked(ids: Sequence[int | None], probabilities: Float64Array) -> tuple[tuple[int | None, float], ...]:
    pairs = [(key, float(probability)) for key, probability in zip(ids, probabilities, strict=True)]
    return tuple(sorted(pairs, key=lambda pair: (-pair[1], pair[0] is not None, pair[0] or 0)))


def _density_at(belief: SourceEstimate, places: Float64Array, error_m: float) -> float:
    """Mean density, 1/m^3, of the source's place, blurred by the error, over an instance's places."""
    cells, mass = belief.posterior.cells, belief.posterior.mass
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
    """[n, 3] where the instance may sound from: half of them its points, half spread through its box."""
    count = len(instance.points_map)
    chosen = np.linspace(0, count - 1, min(count, SAMPLED_POINTS)).astype(np.int64)
    return np.concatenate([np.asarray(instance.points_map[chosen], dtype=float), _box_grid(instance.box)])


def _box_grid(box: Box) -> Float64Array:
    return BOX_GRID * box.size_m @ rotation_matrix(box.quaternion_xyzw).T + box.center_m


def _nearest(tracks: list[Track], position_m: Float64Array) -> Track | None:
    return min(tracks, key=lambda track: float(np.linalg.norm(track.position_m - position_m)), default=None)


def _same(track: Track, belief: SourceEstimate) -> bool:
    offset = belief.position_m - track.position_m
    spread = float(offset @ np.linalg.solve(belief.covariance_m2, offset))
    return float(np.linalg.norm(offset)) < SAME_SOURCE_M or spread < 9.0


def _shares(beliefs: tuple[SourceEstimate, ...]) -> list[float]:
    """Each source's share of what was heard from all of them."""
    heard = [float(np.sum(np.maximum(belief.window_contrasts, 0))) for belief in beliefs]
    total = sum(heard)
    return [share / total if total > 0 else 0.0 for share in heard]


def _update_heard(track: Track, belief: SourceEstimate) -> tuple[Interval, ...]:
    """When the source was heard: intervals before memory, kept, and those of the windows in memory, judged anew."""
    on = _hysteresis(belief.window_contrasts, _usual(belief.window_contrasts))
    halves_ns = (belief.durations_s * 0.25e9).astype(np.int64)
    spans = [Interval(int(s - h), int(s + h)) for s, h in zip(belief.stamps_ns, halves_ns, strict=True)]
    oldest_ns = int(belief.stamps_ns[0] - halves_ns[0])
    gone = [span for span, was_on in track.windows if was_on and span.start_ns < oldest_ns]
    track.heard_before = _merged(track.heard_before + gone)
    track.windows = list(zip(spans, on, strict=True))
    return tuple(_merged(track.heard_before + [span for span, is_on in track.windows if is_on]))


def _usual(towards: NDArray[np.floating]) -> float:
    """What windows that hear the source show: the mean of the contrast, weighted by itself."""
    positive = np.maximum(towards.astype(float), 0)
    return float(np.sum(positive**2) / max(np.sum(positive), 1e-12))


def _hysteresis(towards: NDArray[np.floating], usual: float) -> list[bool]:
    on, result = False, []
    for value in towards:
        on = value > (HEARD_OFF if on else HEARD_ON) * usual
        result.append(bool(on))
    return result


def _merged(spans: list[Interval]) -> list[Interval]:
    """Spans in order of time, pauses up to HEARD_PAUSE_S closed."""
    merged: list[Interval] = []
    for span in sorted(spans, key=lambda s: s.start_ns):
        if merged and span.start_ns - merged[-1].end_ns <= HEARD_PAUSE_S * 1e9:
            merged[-1] = Interval(merged[-1].start_ns, max(merged[-1].end_ns, span.end_ns))
        else:
            merged.append(span)
    return merged
