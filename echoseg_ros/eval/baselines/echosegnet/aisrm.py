"""AISRM of EchoSegnet: audio intensity of each Gaussian, and the cluster of lifted Gaussians nearest to its centre."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from echoseg_ros.types import Float64Array

# Frames of the trailing mean of the levels.
AVERAGED_FRAMES = 6
# Intensity above which a point counts for the centre; 1 is the largest intensity.
CENTRE_INTENSITY = 0.85
# Neighbourhood radius of DBSCAN, scene units.
EPS = 0.04
# Points within EPS, the point itself included, that make a point a core of DBSCAN.
MIN_SAMPLES = 6
# A cluster is large if its size exceeds the mean size by this many standard deviations.
SIZE_STDS = 0.5
# COLMAP's mapper scales a finished model until the camera centres between these quantiles have this extent.
NORMAL_EXTENT = 10.0
NORMAL_QUANTILES = (0.1, 0.9)


@dataclass(frozen=True)
class AisrmVariant:
    """Interpretation of the published step.

    scaled_eps: DBSCAN's eps as if COLMAP had normalised the scene, and large enough that most Gaussians are not noise,
    instead of EPS in the unit of the scene. forward_heading: the heading is the viewing direction of the camera, so that
    "left" is left of it, instead of (cos, sin) of the published angle in x and z, which turns against the camera.
    """

    scaled_eps: bool = False
    forward_heading: bool = False


def loudness(clips: Sequence[NDArray[np.floating] | None]) -> Float64Array:
    """[T, 2] RMS of the left and right channel of each frame's clip [S, 2], as trailing mean; a missing clip is silent."""
    raw: Float64Array = np.array([[0.0, 0.0] if clip is None else np.sqrt(np.mean(np.square(clip, dtype=float), axis=0))
                    for clip in clips]).reshape(-1, 2)  # fmt: skip
    return trailing_mean(raw)


def trailing_mean(levels: Float64Array) -> Float64Array:
    """[T, 2] mean of each frame and the AVERAGED_FRAMES - 1 frames before it; frames with fewer before stay raw."""
    smooth: Float64Array = levels.copy()
    for t in range(AVERAGED_FRAMES - 1, len(levels)):
        smooth[t] = levels[t - AVERAGED_FRAMES + 1 : t + 1].mean(axis=0)
    return smooth


def intensity(
    points: Float64Array, poses: Sequence[Float64Array], loud: Float64Array, forward_heading: bool = False
) -> Float64Array:
    """[N] audio intensity in [0, 1] of points [N, 3] in COLMAP's world.

    poses: T_world_camera of each frame; loud: [T, 2] loudness of the frames.
    """
    total = np.zeros(len(points))
    for pose, (left, right) in zip(poses, loud, strict=True):
        heading = np.arctan2(pose[0, 2], pose[0, 0])
        d = (np.sin(heading), np.cos(heading)) if forward_heading else (np.cos(heading), np.sin(heading))
        v = points[:, [0, 2]] - pose[[0, 2], 3]
        is_left = d[0] * v[:, 1] - d[1] * v[:, 0] > 0
        total += (is_left if left > right else ~is_left) * (abs(left - right) / (max(left, right) + 1e-6))
    normalised: Float64Array = total / total.max() if total.max() > 0 else total
    return normalised


def intensity_centre(points: Float64Array, values: Float64Array) -> Float64Array | None:
    """[3] intensity-weighted mean of the points above CENTRE_INTENSITY; None if there is none."""
    loud = values > CENTRE_INTENSITY
    return np.average(points[loud], axis=0, weights=values[loud]) if loud.any() else None


def choose_cluster(points: Float64Array, centre: Float64Array | None, eps: float = EPS) -> NDArray[np.bool_]:
    """[M] which of the lifted points [M, 3] are kept: the large cluster nearest to the centre in x and z.

    A single cluster, or clusters of one size, are never large (SIZE_STDS). All points are kept if no cluster is large or
    there is no centre.
    """
    all_points = np.ones(len(points), bool)
    if centre is None or not len(points):
        return all_points
    from sklearn.cluster import DBSCAN  # here: an extra that only this method needs

    labels = DBSCAN(eps=eps, min_samples=MIN_SAMPLES).fit_predict(points)
    sizes = np.bincount(labels[labels >= 0])
    if not len(sizes):
        return all_points
    large = np.flatnonzero(sizes > sizes.mean() + SIZE_STDS * sizes.std())
    if not len(large):
        return all_points
    distances = [np.linalg.norm((points[labels == k].mean(axis=0) - centre)[[0, 2]]) for k in large]
    return np.asarray(labels == large[int(np.argmin(distances))])


def scene_eps(camera_centres: Float64Array, lifted: Float64Array) -> float:
    """EPS as if COLMAP had normalised the scene with camera centres [T, 3], and large enough for its points.

    At least twice the median distance of the lifted points [M, 3] to their MIN_SAMPLES-th neighbour (the point itself
    counts), so that most points are cores and an object is not split.
    """
    low, high = np.quantile(camera_centres, NORMAL_QUANTILES, axis=0)
    eps = EPS * float(np.linalg.norm(high - low)) / NORMAL_EXTENT
    if len(lifted) >= MIN_SAMPLES:
        distance, _ = cKDTree(lifted).query(lifted, k=[MIN_SAMPLES])
        eps = max(eps, 2 * float(np.median(distance)))
    return max(eps, 1e-9)
