"""Which object each Gaussian of a map truly belongs to, by the exact blending weights of the truth masks of all views."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.eval.segment.scene_views import EvalScene
from echoseg_ros.mapping.mapper import Mapper

UNSEEN = -1
# Weight in pixels over all views below which nothing is known about a Gaussian.
MIN_WEIGHT_PX = 0.5


def lifted_truth(scene: EvalScene, mapper: Mapper, classes: int | None = None) -> NDArray[np.float32]:
    """[N, classes + 1] sums over all views, test views too, of each Gaussian's weight on each object; column 0: none.

    For scoring only. classes: how many objects; by default all of the scene (one without `object_ids`: the sounding one).
    """
    if classes is None:
        classes = len(scene.object_names) if scene.has_ids else 1
    total = np.zeros((len(mapper.gaussians), classes + 1), np.float32)
    for view in (*scene.train, *scene.test):
        labels = scene.truth_labels(view)
        total += mapper.lift(view.camera, view.T_map_camera, labels, classes + 1).cpu().numpy()
    return total


def truth_members(weights: NDArray[np.float32]) -> NDArray[np.int32]:
    """[N] number of the object that holds more than half of a Gaussian's weight [N, classes + 1], 0 for none.

    UNSEEN where no view shows the Gaussian.
    """
    total = weights.sum(axis=1)
    best = weights.argmax(axis=1).astype(np.int32)
    sure = weights.max(axis=1) > 0.5 * total
    return np.where(total < MIN_WEIGHT_PX, np.int32(UNSEEN), np.where(sure, best, np.int32(0)))


def gaussian_iou(chosen: NDArray[np.bool_], members: NDArray[np.int32], wanted: list[int]) -> float | None:
    """IoU, by their number, of the chosen Gaussians [N] with those of the wanted objects; None if the map has none.

    What is chosen without being seen in any view counts as wrong.
    """
    true = np.isin(members, wanted)
    if not true.any():
        return None
    return float((chosen & true).sum() / (chosen | true).sum())


def chosen_object(chosen: NDArray[np.bool_], members: NDArray[np.int32]) -> int | None:
    """The object that most of the chosen Gaussians belong to, 0 if most belong to none; None if nothing is chosen."""
    seen = members[chosen & (members != UNSEEN)]
    if not chosen.any():
        return None
    return int(np.bincount(seen).argmax()) if len(seen) else 0
