"""Votes made by hand: pixels that agree are one object, whatever lies between, beside or before them."""

import numpy as np
import pytest

from echoseg_ros.masks.network.vote_clustering import (
    MIN_PX,
    UNJUDGED,
    cluster_votes,
    resized_labels,
    without_background,
)

HEIGHT, WIDTH = 96, 128


def votes_of(truth, noise=0.0, seed=0):
    """(probability, middle, side) as a network without (or with little) error would give them for a label image."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(truth.shape)
    middle = np.zeros((*truth.shape, 2), np.float32)
    side = np.ones(truth.shape, np.float32)
    for number in np.unique(truth[truth > 0]):
        where = truth == number
        side[where] = np.sqrt(where.sum())
        middle[where] = columns[where].mean(), rows[where].mean()
    half = middle[::2, ::2] + noise * side[::2, ::2, None] * rng.normal(size=(HEIGHT // 2, WIDTH // 2, 2))
    probability = np.where(truth > 0, 0.9, 0.05).astype(np.float32)
    return probability, half.astype(np.float32), side[::2, ::2]


def ious(labels, truth):
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


def scene():
    truth = np.zeros((HEIGHT, WIDTH), int)
    truth[10:50, 10:60] = 1  # two large ones that touch
    truth[10:50, 60:100] = 2
    truth[30:42, 30:40] = 3  # a small one in front of the middle of a large one
    truth[70:74, 20:24] = 4  # 4 px
    truth[70:90, 60:70] = 5
    truth[70:90, 74:84] = 6  # equal to its neighbour
    return truth


@pytest.mark.parametrize("noise", [0.0, 0.08])
def test_objects_that_touch_or_hide_one_another_are_told_apart(noise):
    truth = scene()
    labels = cluster_votes(*votes_of(truth, noise))
    found = ious(labels, truth)
    assert min(found.values()) > 0.85, found
    assert labels.max() == 6 and (labels[truth == 0] <= 0).all()


def test_an_object_cut_in_two_by_what_stands_before_it_is_one():
    truth = np.zeros((HEIGHT, WIDTH), int)
    truth[20:60, 20:80] = 1
    truth[20:60, 46:53] = 2
    labels = cluster_votes(*votes_of(truth, 0.03))
    assert labels[30, 25] == labels[30, 75] > 0 and labels[30, 50] not in (0, labels[30, 25])


def test_what_is_open_is_not_judged_and_crumbs_are_no_objects():
    truth = np.zeros((HEIGHT, WIDTH), int)
    truth[20:40, 20:40] = 1
    truth[60:62, 60:62] = 2  # fewer than MIN_PX
    assert (truth == 2).sum() < MIN_PX
    probability, middle, side = votes_of(truth)
    probability[70:80, 90:100] = 0.4
    labels = cluster_votes(probability, middle, side)
    assert labels.max() == 1
    assert (labels[70:80, 90:100] == UNJUDGED).all() and (labels[60:62, 60:62] == UNJUDGED).all()


def test_nothing_gives_nothing():
    empty = np.zeros((HEIGHT, WIDTH), np.float32)
    labels = cluster_votes(
        empty, np.zeros((HEIGHT // 2, WIDTH // 2, 2), np.float32), np.ones((HEIGHT // 2, WIDTH // 2), np.float32)
    )
    assert labels.dtype == np.int32 and not labels.any()


def test_enlarged_labels_follow_the_enlarged_probability():
    truth = scene()
    labels = cluster_votes(*votes_of(truth))
    true_large = np.repeat(np.repeat(truth, 2, axis=0), 2, axis=1)
    large = resized_labels(labels, np.where(true_large > 0, 0.9, 0.05).astype(np.float32))
    assert large.shape == true_large.shape
    assert min(value for number, value in ious(large, true_large).items() if number != 4) > 0.85


def test_pieces_that_vote_for_one_large_object_are_joined():
    truth = np.zeros((HEIGHT, WIDTH), int)
    truth[10:70, 20:100] = 1
    probability, middle, side = votes_of(truth)
    middle[:, :30, 0] -= 22  # the left part votes for a place far from the middle, the right part too
    middle[:, 30:, 0] += 22
    labels = cluster_votes(probability, middle, side)
    assert labels.max() == 1 and (labels[truth == 1] == 1).all()


def test_what_is_seen_past_an_object_does_not_belong_to_it():
    labels = np.zeros((HEIGHT, WIDTH), np.int32)
    labels[20:50, 20:40] = 1
    labels[60:80, 60:90] = 2
    depth_m = np.full((HEIGHT, WIDTH), 3.0, np.float32)
    depth_m[20:50, 20:36] = 1.0 + 0.05 * np.linspace(-1, 1, 16, dtype=np.float32)  # 0.2 m wide, the rest is wall
    depth_m[60:80, 60:90] = 0
    cut = without_background(labels, depth_m, 100.0)
    assert (cut[20:50, 20:36] == 1).all() and (cut[20:50, 36:40] == 0).all()
    assert (cut[60:80, 60:90] == 2).all()  # nothing is known of it
