"""Clustering of votes that are made of true labels: pixels with the same vote form one object."""

import numpy as np
import pytest
from numpy.typing import NDArray

from echoseg_ros.masks.network.vote_clustering import MIN_PX, cluster_votes, resized_labels, without_background_pixels
from echoseg_ros.masks.protocol import UNJUDGED
from echoseg_ros.types import FloatImage

HEIGHT, WIDTH = 96, 128


def votes_of(truth: NDArray[np.int64], noise: float = 0.0, seed: int = 0) -> tuple[FloatImage, FloatImage, FloatImage]:
    """(probability, centre, side) of a network without error, or with noise of a share of the side, for a label image."""
    rng = np.random.default_rng(seed)
    indices = np.indices(truth.shape)
    rows, columns = indices[0], indices[1]
    centre = np.zeros((*truth.shape, 2), np.float32)
    side = np.ones(truth.shape, np.float32)
    for number in np.unique(truth[truth > 0]):
        where = truth == number
        side[where] = np.sqrt(where.sum())
        centre[where] = columns[where].mean(), rows[where].mean()
    half = centre[::2, ::2] + noise * side[::2, ::2, None] * rng.normal(size=(HEIGHT // 2, WIDTH // 2, 2))
    probability = np.where(truth > 0, 0.9, 0.05).astype(np.float32)
    return probability, half.astype(np.float32), side[::2, ::2]


def ious(labels: NDArray[np.int32], truth: NDArray[np.int64]) -> dict[int, float]:
    """IoU of each true object with the label that covers most of it."""
    result = {}
    for number in np.unique(truth[truth > 0]):
        inside = labels[truth == number]
        if not (inside > 0).any():
            result[int(number)] = 0.0
            continue
        best = labels == np.bincount(inside[inside > 0]).argmax()
        result[int(number)] = float((best & (truth == number)).sum() / (best | (truth == number)).sum())
    return result


def scene() -> NDArray[np.int64]:
    """[H, W] true labels of six objects, or 0."""
    truth = np.zeros((HEIGHT, WIDTH), int)
    truth[10:50, 10:60] = 1  # two large objects that touch
    truth[10:50, 60:100] = 2
    truth[30:42, 30:40] = 3  # a small object in front of the centre of a large one
    truth[70:74, 20:24] = 4  # 4 pixels wide
    truth[70:90, 60:70] = 5
    truth[70:90, 74:84] = 6  # of the same size as its neighbour
    return truth


@pytest.mark.parametrize("noise", [0.0, 0.08])
def test_objects_that_touch_or_occlude_each_other_are_separated(noise: float) -> None:
    truth = scene()
    labels = cluster_votes(*votes_of(truth, noise))
    found = ious(labels, truth)
    assert min(found.values()) > 0.85, found
    assert labels.max() == 6 and (labels[truth == 0] <= 0).all()


def test_an_object_divided_by_one_in_front_of_it_is_one() -> None:
    truth = np.zeros((HEIGHT, WIDTH), int)
    truth[20:60, 20:80] = 1
    truth[20:60, 46:53] = 2
    labels = cluster_votes(*votes_of(truth, 0.03))
    assert labels[30, 25] == labels[30, 75] > 0 and labels[30, 50] not in (0, labels[30, 25])


def test_unsure_pixels_and_small_objects_are_unjudged() -> None:
    truth = np.zeros((HEIGHT, WIDTH), int)
    truth[20:40, 20:40] = 1
    truth[60:62, 60:62] = 2  # fewer than MIN_PX
    assert (truth == 2).sum() < MIN_PX
    probability, centre, side = votes_of(truth)
    probability[70:80, 90:100] = 0.4
    labels = cluster_votes(probability, centre, side)
    assert labels.max() == 1
    assert (labels[70:80, 90:100] == UNJUDGED).all() and (labels[60:62, 60:62] == UNJUDGED).all()


def test_an_image_without_objects_gives_no_labels() -> None:
    empty = np.zeros((HEIGHT, WIDTH), np.float32)
    labels = cluster_votes(
        empty, np.zeros((HEIGHT // 2, WIDTH // 2, 2), np.float32), np.ones((HEIGHT // 2, WIDTH // 2), np.float32)
    )
    assert labels.dtype == np.int32 and not labels.any()


def test_resized_labels_follow_the_resized_probability() -> None:
    truth = scene()
    labels = cluster_votes(*votes_of(truth))
    true_large = np.repeat(np.repeat(truth, 2, axis=0), 2, axis=1)
    large = resized_labels(labels, np.where(true_large > 0, 0.9, 0.05).astype(np.float32))
    assert large.shape == true_large.shape
    assert min(value for number, value in ious(large, true_large).items() if number != 4) > 0.85


def test_pieces_that_vote_for_one_large_object_are_joined() -> None:
    truth = np.zeros((HEIGHT, WIDTH), int)
    truth[10:70, 20:100] = 1
    probability, centre, side = votes_of(truth)
    centre[:, :30, 0] -= 22  # both halves vote for a place far from the centre
    centre[:, 30:, 0] += 22
    labels = cluster_votes(probability, centre, side)
    assert labels.max() == 1 and (labels[truth == 1] == 1).all()


def test_background_seen_beside_an_object_is_removed_from_it() -> None:
    labels = np.zeros((HEIGHT, WIDTH), np.int32)
    labels[20:50, 20:40] = 1
    labels[60:80, 60:90] = 2
    depth_m = np.full((HEIGHT, WIDTH), 3.0, np.float32)
    depth_m[20:50, 20:36] = 1.0 + 0.05 * np.linspace(-1, 1, 16, dtype=np.float32)  # 0.2 m wide, the rest is wall
    depth_m[60:80, 60:90] = 0
    cut = without_background_pixels(labels, depth_m, 100.0)
    assert (cut[20:50, 20:36] == 1).all() and (cut[20:50, 36:40] == 0).all()
    assert (cut[60:80, 60:90] == 2).all()  # without depth
