"""Scores against cases computed by hand, and F against the published formula threshold by threshold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from echoseg_ros.eval.segment.segmentation_metrics import (
    BETA2,
    avsbench_iou,
    boundary_f,
    score_scene,
    score_view,
)
from echoseg_ros.types import Float64Array

Mask = NDArray[np.bool_]
# Thresholds of AVSBench's F.
THRESHOLDS = np.linspace(0.0, 1.0 - 1e-10, 255)


def avsbench_f(scores: Sequence[NDArray[np.floating]], truths: Sequence[Mask], sigmoid: bool = False) -> float | None:
    """AVSBench's F-beta of soft masks [H, W] in [0, 1], threshold by threshold; None if no truth shows an object.

    The mean over the images with truth at each of 255 thresholds, then its maximum. A pixel is selected where its score
    is at or above the threshold, so the first threshold, 0, selects all pixels. sigmoid: put the scores through a sigmoid
    first, as the reference does with masks that are 0 or 1 already.
    """
    curves = []
    for score, truth in zip(scores, truths, strict=True):
        if truth.any():
            values = 1 / (1 + np.exp(-np.asarray(score, float))) if sigmoid else np.asarray(score, float)
            curves.append(f_curve(values, truth))
    return float(np.mean(curves, axis=0).max()) if curves else None


def f_curve(values: Float64Array, truth: Mask) -> Float64Array:
    """[255] F at each threshold; 0 where no selected pixel is right."""
    inside, everywhere = np.sort(values[truth]), np.sort(values, axis=None)
    hit = len(inside) - np.searchsorted(inside, THRESHOLDS)
    selected = len(everywhere) - np.searchsorted(everywhere, THRESHOLDS)
    precision, recall = hit / np.maximum(selected, 1), hit / len(inside)
    f = (1 + BETA2) * precision * recall / np.maximum(BETA2 * precision + recall, 1e-20)
    curve: Float64Array = np.where(hit > 0, f, 0.0)
    return curve


def f_floor(truth_share: float) -> float:
    """F of selecting all pixels."""
    return (1 + BETA2) * truth_share / (BETA2 * truth_share + 1)


def mask(rows: slice, columns: slice, size: int = 10) -> Mask:
    image = np.zeros((size, size), bool)
    image[rows, columns] = True
    return image


EMPTY = np.zeros((10, 10), bool)
TRUTH = mask(slice(0, 4), slice(0, 5))  # 20 pixels
HALF = mask(slice(0, 2), slice(0, 10))  # 20 pixels, 10 of them right


def test_iou_by_hand() -> None:
    assert avsbench_iou(HALF, TRUTH) == pytest.approx(10 / 30)
    assert avsbench_iou(TRUTH, TRUTH) == pytest.approx(1.0)
    assert avsbench_iou(EMPTY, TRUTH) == 0.0


def test_empty_truth_scores_its_true_negatives() -> None:
    assert avsbench_iou(EMPTY, EMPTY) == pytest.approx(1.0)
    assert avsbench_iou(HALF, EMPTY) == pytest.approx(0.8)
    assert avsbench_iou(~EMPTY, EMPTY) == 0.0


def test_f_by_hand() -> None:
    # precision 0.5, recall 0.5: F is 0.5 whatever beta is; precision 1, recall 0.5: 1.3 * 0.5 / (0.3 + 0.5).
    assert score_view("a", HALF, TRUTH).f == pytest.approx(0.5)
    quarter = mask(slice(0, 2), slice(0, 5))
    assert score_view("b", quarter, TRUTH).f == pytest.approx(1.3 * 0.5 / 0.8)
    assert score_view("c", EMPTY, TRUTH).f == 0.0
    assert score_view("d", HALF, EMPTY).f is None


def test_floor_of_f_is_the_f_of_selecting_all_pixels() -> None:
    assert f_floor(0.2) == pytest.approx(1.3 * 0.2 / 1.06)
    assert score_view("a", HALF, TRUTH).f_all == pytest.approx(f_floor(0.2))


def test_binary_masks_through_a_sigmoid_score_the_same_with_the_same_floor() -> None:
    rng = np.random.default_rng(0)
    truths = [TRUTH, EMPTY, mask(slice(3, 9), slice(2, 9))]
    for masks in ([HALF, HALF, rng.random((10, 10)) < 0.6], [EMPTY, HALF, EMPTY]):
        plain = avsbench_f([m.astype(float) for m in masks], truths)
        with_sigmoid = avsbench_f([m.astype(float) for m in masks], truths, sigmoid=True)
        quick = score_scene([score_view(str(i), m, t) for i, (m, t) in enumerate(zip(masks, truths, strict=True))]).f
        assert plain == pytest.approx(with_sigmoid)
        assert plain == pytest.approx(quick)
    # Even empty masks score the floor.
    assert with_sigmoid == pytest.approx((f_floor(0.2) + f_floor(0.42)) / 2)


def test_soft_f_against_the_published_loop() -> None:
    rng = np.random.default_rng(1)
    truths = [rng.random((10, 10)) < 0.2 for _ in range(3)]
    scores = [np.clip(0.5 * t + rng.normal(0.3, 0.2, t.shape), 0, 1) for t in truths]
    means = np.zeros(255)
    for score, truth in zip(scores, truths, strict=True):
        for k, threshold in enumerate(np.linspace(0, 1 - 1e-10, 255)):
            called = score >= threshold
            hit = (called & truth).sum()
            precision, recall = hit / (called.sum() + 1e-20), hit / (truth.sum() + 1e-20)
            f = 1.3 * precision * recall / (0.3 * precision + recall) if hit else 0.0
            means[k] += f / len(truths)
    assert avsbench_f(scores, truths) == pytest.approx(means.max())
    assert avsbench_f([EMPTY.astype(float)], [EMPTY]) is None


def test_scene_by_hand() -> None:
    views = [
        score_view("right", TRUTH, TRUTH),
        score_view("missed", EMPTY, TRUTH),
        score_view("nothing there", EMPTY, EMPTY),
        score_view("false", HALF, EMPTY),
    ]
    scene = score_scene(views)
    assert scene.miou == pytest.approx((1 + 0 + 1 + 0.8) / 4)
    assert scene.visible_iou == pytest.approx(0.5)
    assert scene.f == scene.f_plain == pytest.approx(0.5)
    assert scene.false_mask_rate == 0.5
    assert scene.empty_share == 0.5
    assert scene.object_share == pytest.approx(0.2)


def test_a_scene_without_the_object_has_no_visible_scores() -> None:
    scene = score_scene([score_view("a", EMPTY, EMPTY)])
    assert scene.f is None and scene.visible_iou is None and scene.boundary_f is None
    assert scene.miou == pytest.approx(1.0)
    assert score_scene([score_view("a", TRUTH, TRUTH)]).false_mask_rate is None


def test_outline_agrees_within_its_tolerance_only() -> None:
    truth = mask(slice(30, 70), slice(30, 70), 200)  # the diagonal is 283 px: within 2 px
    assert boundary_f(truth, truth) == 1.0
    assert boundary_f(np.roll(truth, 2, axis=1), truth) == pytest.approx(1.0)
    # Moved by 10: of 156 outline pixels on each side, the level sides still agree over 30 of their 40 columns and near
    # their ends, the upright ones do not.
    moved = boundary_f(np.roll(truth, 10, axis=1), truth)
    assert 2 * 30 / 156 <= moved <= 2 * 40 / 156
    assert boundary_f(np.zeros_like(truth), truth) == 0.0


def test_sizes_must_agree() -> None:
    with pytest.raises(ValueError, match="one size"):
        score_view("a", EMPTY, np.zeros((5, 5), bool))
    with pytest.raises(ValueError, match="no view"):
        score_scene([])
