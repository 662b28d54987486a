"""True object of each Gaussian of a map, by the blending weights of the truth masks of all views."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.eval.segment.scene_views import EvalScene
from echoseg_ros.mapping.mapper import Mapper

# Object number of a Gaussian that no view shows.
UNSEEN = -1
# Weight over all views below which a Gaussian counts as unseen, pixels.
MIN_WEIGHT_PX = 0.5


def lift_truth(scene: EvalScene, mapper: Mapper, classes: int | None = None) -> NDArray[np.float32]:
    """[N, classes + 1] weight of each Gaussian on each object, summed over train and test views; column 0: no object.

    For scoring only. classes: number of objects; by default all of the scene, in a scene without `object_ids` the
    sounding one.
    """
    if classes is None:
        classes = len(scene.object_names) if scene.has_ids else 1
    total = np.zeros((len(mapper.gaussians), classes + 1), np.float32)
    for view in (*scene.train, *scene.test):
        labels = scene.truth_labels(view)
        total += mapper.lift(view.camera, view.T_map_camera, labels, classes + 1).cpu().numpy()
    return total


def majority_objects(weights: NDArray[np.float32]) -> NDArray[np.int32]:
    """[N] number of the object with more than half of a Gaussian's weight [N, classes + 1], 0 for none, UNSEEN if unseen."""
    total = weights.sum(axis=1)
    best = weights.argmax(axis=1).astype(np.int32)
    is_majority = weights.max(axis=1) > 0.5 * total
    objects: NDArray[np.int32] = np.where(
        total < MIN_WEIGHT_PX, np.int32(UNSEEN), np.where(is_majority, best, np.int32(0))
    )
    return objects


def gaussian_iou(chosen: NDArray[np.bool_], true_objects: NDArray[np.int32], sounding: list[int]) -> float | None:
    """IoU by number of the chosen Gaussians [N] and those of the sounding objects; None if the map has none of them.

    Chosen Gaussians that no view shows count as wrong.
    """
    true = np.isin(true_objects, sounding)
    if not true.any():
        return None
    return float((chosen & true).sum() / (chosen | true).sum())


def chosen_object(chosen: NDArray[np.bool_], true_objects: NDArray[np.int32]) -> int | None:
    """Object of most of the chosen Gaussians, 0 if most belong to none; None if no Gaussian is chosen."""
    seen = true_objects[chosen & (true_objects != UNSEEN)]
    if not chosen.any():
        return None
    return int(np.bincount(seen).argmax()) if len(seen) else 0
