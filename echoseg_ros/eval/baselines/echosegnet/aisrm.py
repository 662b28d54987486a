"""The reference's AISRM: an audio intensity for each Gaussian, and the cluster of lifted Gaussians that it points at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from echoseg_ros.eval.baselines.echosegnet.dbscan import dbscan
from echoseg_ros.types import Float64Array

AVERAGED_FRAMES = 6
CENTRE_INTENSITY = 0.85
EPS, MIN_SAMPLES = 0.04, 6
SIZE_STDS = 0.5
# What COLMAP's mapper scales a finished model to: the extent of the middle 80 % of the camera centres.
NORMAL_EXTENT, NORMAL_QUANTILES = 10.0, (0.1, 0.9)


@dataclass(frozen=True)
class AisrmVariant:
    """How the published step is read.

    scaled_eps: DBSCAN's eps as if COLMAP had normalised the scene, and never so small that most Gaussians are noise,
    instead of 0.04 of whatever unit the scene has. forward_heading: d is the direction the camera looks in, so that
    "left" is left of it, instead of (cos, sin) of the published angle in x and z, which turns against the camera.
    """

    scaled_eps: bool = False
    forward_heading: bool = False


def loudness(clips: Sequence[NDArray[np.floating] | None]) -> Float64Array:
    """[T, 2] RMS of left and right of each frame's clip [S, 2], averaged with the five before; the first five raw.

    A frame without a clip is silent.
    """
    raw = np.array([[0.0, 0.0] if clip is None else np.sqrt(np.mean(np.square(clip, dtype=float), axis=0))
                    for clip in clips]).reshape(-1, 2)  # fmt: skip
    smooth = raw.copy()
    for t in range(AVERAGED_FRAMES - 1, len(raw)):
        smooth[t] = raw[t - AVERAGED_FRAMES + 1 : t + 1].mean(axis=0)
    return smooth


def intensity(
    points: Float64Array, poses: Sequence[Float64Array], loud: Float64Array, forward_heading: bool = False
) -> Float64Array:
    """[N] audio intensity in [0, 1] of points [N, 3] in COLMAP's world, from T_world_camera and loudness [T, 2] of frames."""
    total = np.zeros(len(points))
    for pose, (left, right) in zip(poses, loud, strict=True):
        heading = np.arctan2(pose[0, 2], pose[0, 0])
        d = (np.sin(heading), np.cos(heading)) if forward_heading else (np.cos(heading), np.sin(heading))
        v = points[:, [0, 2]] - pose[[0, 2], 3]
        is_left = d[0] * v[:, 1] - d[1] * v[:, 0] > 0
        total += (is_left if left > right else ~is_left) * (abs(left - right) / (max(left, right) + 1e-6))
    return total / total.max() if total.max() > 0 else total


def intensity_centre(points: Float64Array, values: Float64Array) -> Float64Array | None:
    """[3] mean of the points above CENTRE_INTENSITY, weighted by their intensity; None without any."""
    loud = values > CENTRE_INTENSITY
    return np.average(points[loud], axis=0, weights=values[loud]) if loud.any() else None


def choose_cluster(points: Float64Array, centre: Float64Array | None, eps: float = EPS) -> NDArray[np.bool_]:
    """[M] which of the lifted points [M, 3] are kept: of the large clusters, the one nearest to the centre in x and z.

    Large is above the mean size by SIZE_STDS deviations: a single cluster, or some of one size, never is. Then, and
    without a centre, all points are kept.
    """
    everything = np.ones(len(points), bool)
    if centre is None or not len(points):
        return everything
    labels = dbscan(points, eps, MIN_SAMPLES)
    sizes = np.bincount(labels[labels >= 0])
    if not len(sizes):
        return everything
    large = np.flatnonzero(sizes > sizes.mean() + SIZE_STDS * sizes.std())
    if not len(large):
        return everything
    away = [np.linalg.norm((points[labels == k].mean(axis=0) - centre)[[0, 2]]) for k in large]
    return np.asarray(labels == large[int(np.argmin(away))])


def scene_eps(camera_centres: Float64Array, lifted: Float64Array) -> float:
    """EPS as if COLMAP had normalised the scene with camera centres [T, 3], and large enough for its points.

    At least twice the median distance of the lifted points [M, 3] to their MIN_SAMPLES-th neighbour, themselves counted, so
    that most of them are cores and a thing does not fall apart.
    """
    low, high = np.quantile(camera_centres, NORMAL_QUANTILES, axis=0)
    eps = EPS * float(np.linalg.norm(high - low)) / NORMAL_EXTENT
    if len(lifted) >= MIN_SAMPLES:
        distance, _ = cKDTree(lifted).query(lifted, k=[MIN_SAMPLES])
        eps = max(eps, 2 * float(np.median(distance)))
    return max(eps, 1e-9)
