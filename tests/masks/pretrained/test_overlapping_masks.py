"""Overlapping masks as one label image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.masks.pretrained.overlapping_masks import merge_masks
from echoseg_ros.types import MaskProposal

SHAPE = (40, 60)


def mask(top: int, bottom: int, left: int, right: int) -> NDArray[np.bool_]:
    image = np.zeros(SHAPE, bool)
    image[top:bottom, left:right] = True
    return image


def proposal(*masks: NDArray[np.bool_], scores: list[float], min_score: float = 0.3) -> MaskProposal:
    stack = np.array(masks, bool).reshape(-1, *SHAPE)
    values = np.array(scores, np.float32)
    return merge_masks(stack, values, tuple("abcdef"[: len(masks)]), values >= min_score, 5, "test")


def test_a_mask_within_a_larger_one_stays_a_proposal_of_its_own() -> None:
    made = proposal(mask(0, 30, 0, 30), mask(10, 20, 10, 20), scores=[0.9, 0.4])
    assert made.names == ("a", "b") and made.stamp_ns == 5 and made.backend == "test"
    np.testing.assert_allclose(made.scores, [0.9, 0.4])
    assert (made.labels == 1).sum() == 800 and (made.labels == 2).sum() == 100
    assert (made.labels[10:20, 10:20] == 2).all() and made.labels[35, 50] == 0


def test_the_better_of_two_masks_of_an_object_stays() -> None:
    made = proposal(mask(0, 30, 0, 30), mask(0, 30, 0, 29), scores=[0.4, 0.9])
    assert made.names == ("b",)
    assert (made.labels == 1).sum() == 870 and (made.labels == -1).sum() == 0


def test_an_unsure_mask_is_unjudged_outside_of_confident_ones() -> None:
    made = proposal(mask(0, 30, 0, 30), mask(10, 20, 20, 40), scores=[0.9, 0.2])
    assert made.names == ("a",)
    assert (made.labels == 1).sum() == 900, "a confident mask gives no pixels to an unsure one, however small"
    assert (made.labels == -1).sum() == 100 and (made.labels[10:20, 30:40] == -1).all()


def test_an_unsure_mask_does_not_replace_a_confident_one_of_the_same_object() -> None:
    """A mask may have the higher score and yet be unsure, because the box or the mask alone was weak."""
    stack = np.array([mask(0, 30, 0, 30), mask(0, 30, 0, 29)])
    made = merge_masks(stack, np.array([0.4, 0.9], np.float32), ("a", "b"), np.array([True, False]), 0, "test")
    assert made.names == ("a",)


def test_a_mask_that_others_cover_almost_wholly_is_no_proposal() -> None:
    made = proposal(mask(0, 30, 0, 30), mask(0, 30, 0, 14), mask(0, 30, 14, 28), scores=[0.9, 0.8, 0.7])
    assert made.names == ("b", "c")
    assert (made.labels[:30, 28:30] == -1).all()


def test_tiny_masks_and_most_of_the_image_are_no_proposals() -> None:
    made = proposal(mask(0, 3, 0, 3), mask(0, 40, 0, 59), scores=[0.9, 0.9])
    assert made.names == () and len(made.scores) == 0
    assert (made.labels[:3, :3] == -1).all() and (made.labels == 0).sum() == 40 * 60 - 9


def test_without_masks_all_pixels_are_background() -> None:
    made = proposal(scores=[])
    assert made.labels.shape == SHAPE and not made.labels.any() and len(made.scores) == 0
