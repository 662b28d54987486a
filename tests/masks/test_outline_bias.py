"""Outlines of masks that are all too large or all too small."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from echoseg_ros.masks.outline_bias import OutlineBiasEstimator
from echoseg_ros.types import MaskProposal, RgbImage

SIZE = 120


def pictures(
    count: int, grown: float, jitter: float = 0.04
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32], RgbImage]]:
    """(labels, true labels, rgb): a patterned ellipse on a patterned ground, its mask grown by a share of its side."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        axes, middle = rng.uniform(14, 26, 2), rng.uniform(45, 75, 2)
        true = cv2.ellipse(
            np.zeros((SIZE, SIZE), np.uint8), (middle.tolist(), (2 * axes).tolist(), rng.uniform(0, 180)), 1, -1
        )
        coarse = rng.integers(0, 60, (12, 12, 3)).astype(np.uint8)
        pattern = cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_NEAREST)
        rgb = np.where(true[..., None] > 0, [150, 60, 40], [60, 90, 140]).astype(np.uint8) + pattern
        outside = cv2.distanceTransform(1 - true, cv2.DIST_L2, 5) - cv2.distanceTransform(true, cv2.DIST_L2, 5)
        side = np.sqrt(true.sum())
        image: RgbImage = rgb.astype(np.uint8)
        yield (outside < side * (grown + rng.normal(0, jitter))).astype(np.int32), true.astype(np.int32), image


def biased_outlines(grown: float, count: int = 40) -> OutlineBiasEstimator:
    """The estimate after masks that are all grown by a share of their side."""
    outlines = OutlineBiasEstimator()
    for labels, _, rgb in pictures(count, grown):
        outlines.add(labels, rgb)
    return outlines


@pytest.mark.parametrize("grown", [0.15, 0.1, -0.1])
def test_masks_that_are_all_too_large_or_too_small_are_corrected(grown: float) -> None:
    outlines = biased_outlines(grown)
    expected = grown / np.sqrt(np.pi * (1 / np.sqrt(np.pi) + grown) ** 2)  # in sides of the given mask
    assert abs(outlines.bias - expected) < 0.04
    before, after = [], []
    for labels, true, _ in pictures(40, grown):
        moved = outlines.corrected(MaskProposal(0, labels, np.ones(1, np.float32), "test")).labels
        before.append((labels & true).sum() / (labels | true).sum())
        after.append((moved & true).sum() / (moved | true).sum())
    assert np.mean(after) > np.mean(before) + 0.5 * (1 - np.mean(before)) - 0.1 > np.mean(before)


def test_correct_masks_are_not_changed() -> None:
    outlines = biased_outlines(0.0)
    assert outlines.bias == 0.0
    labels = next(pictures(1, 0.0))[0]
    proposal = MaskProposal(0, labels, np.ones(1, np.float32), "test")
    assert outlines.corrected(proposal) is proposal


def test_few_masks_give_no_bias() -> None:
    assert biased_outlines(0.15, count=10).bias == 0.0


def test_growing_masks_take_no_unjudged_pixels_and_none_of_other_masks() -> None:
    outlines = biased_outlines(-0.1)
    labels = np.zeros((SIZE, SIZE), np.int32)
    labels[40:70, 40:70], labels[40:70, 70:100], labels[:35] = 1, 2, -1
    moved = outlines.corrected(MaskProposal(0, labels, np.ones(2, np.float32), "test")).labels
    assert np.all(moved[labels != 0] == labels[labels != 0])
    assert (moved == 1).sum() > (labels == 1).sum() and (moved == 2).sum() > (labels == 2).sum()


def test_shrinking_masks_keep_their_thin_parts() -> None:
    """Regression: removing the whole bias at once left a fan without its stand."""
    outlines = biased_outlines(0.1)
    labels = np.zeros((SIZE, SIZE), np.int32)
    cv2.circle(labels, (60, 40), 26, 1, -1)
    labels[66:100, 57:64] = 1
    moved = outlines.corrected(MaskProposal(0, labels, np.ones(1, np.float32), "test")).labels
    assert (moved[70:92] > 0).any(axis=1).all() and (moved > 0).sum() < 0.85 * (labels > 0).sum()
