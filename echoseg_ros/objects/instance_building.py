"""The published value of an instance: its body, box, position and the views that support it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.objects.instance_body import body_box, lowered_to_support, without_floaters
from echoseg_ros.objects.instance_candidate import InstanceCandidate
from echoseg_ros.types import Float32Array, Instance

# Gaussians from which body and box are estimated, at most about twice as many.
BODY_POINTS = 1500
# An instance is built again when the map, or a new scale (units.MapScale), has moved it by this share of its longest side, or
# when this share of its Gaussians was pruned.
MAX_CHANGE_SHARE = 0.05


def build_instance(
    candidate: InstanceCandidate,
    members: NDArray[np.intp],
    uids: NDArray[np.int64],
    means: Float32Array,
    rgb: NDArray[np.uint8],
    agreement: float,
    free: Float32Array,
    max_side_m: float,
) -> Instance | None:
    """The instance of a candidate; None if its parts span more than `max_side_m`.

    members: rows of its Gaussians; uids: [N]; means: [N, 3] metres; rgb: [N, 3]; agreement: how well views agree, in
    [0, 1]; free: [F, 3] centres of Gaussians that belong to no instance.
    """
    points = means[members]
    sample = points[:: 1 + len(points) // BODY_POINTS]
    body = sample[without_floaters(sample)]
    box = lowered_to_support(body_box(body), free)
    if max(box.size_m) > max_side_m:
        return None
    return Instance(
        id=candidate.id,
        uids=uids[members],
        points_map=points,
        rgb=np.asarray(rgb[members], np.uint8),
        position_m=body.mean(axis=0, dtype=float),
        box=box,
        views=candidate.views,
        confidence=agreement,
        support=candidate.sorted_support(),
    )


def has_changed(instance: Instance, known: NDArray[np.bool_], points_m: Float32Array) -> bool:
    """Whether the map has moved an instance since it was built, or pruned Gaussians of it.

    known: [n] which of its Gaussians still exist; points_m: [n, 3] their present centres, valid where known.
    """
    if np.count_nonzero(known) < (1 - MAX_CHANGE_SHARE) * len(known):
        return True
    moved_m = np.linalg.norm(points_m[known] - instance.points_map[known], axis=1)
    return float(np.median(moved_m)) > MAX_CHANGE_SHARE * float(instance.box.size_m.max())
