"""Masks of another node and the views that they belong to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from echoseg_ros.config import MaskConfig
from echoseg_ros.masks.topic_masks import MaskView, TopicMasks
from echoseg_ros.types import Camera, MaskImage

CAMERA = Camera(8, 6, 5.0, 5.0, 4.0, 3.0)
MS = 1_000_000
GAP_NS = 500 * MS


def view(t_ms: float, keyframe: bool = True) -> MaskView:
    return MaskView(round(t_ms * MS), CAMERA, np.eye(4), np.zeros((6, 8, 3), np.uint8), keyframe)


def masks(t_ms: float, labels: NDArray[Any] | None = None) -> MaskImage:
    return MaskImage(round(t_ms * MS), np.ones((6, 8), np.int32) if labels is None else labels.astype(np.int32))


def topic(**settings: Any) -> TopicMasks:
    return TopicMasks(MaskConfig(backend="topic", **settings))


def test_masks_may_arrive_after_or_before_their_view() -> None:
    matcher = topic()
    matcher.add_view(view(100))
    assert matcher.take_pairs(GAP_NS) == []
    matcher.add_masks(masks(100))
    matcher.add_masks(masks(1200))
    ((found, proposal),) = matcher.take_pairs(GAP_NS)
    assert found.stamp_ns == proposal.stamp_ns == 100 * MS and proposal.backend == "topic"
    matcher.add_view(view(1200))
    ((found, _),) = matcher.take_pairs(GAP_NS)
    assert found.stamp_ns == 1200 * MS
    assert matcher.take_pairs(GAP_NS) == [] and matcher.counts["masks used"] == 2


def test_masks_of_another_image_do_not_match() -> None:
    matcher = topic()
    matcher.add_view(view(100))
    matcher.add_masks(masks(133))
    assert matcher.take_pairs(GAP_NS) == []
    matcher.add_masks(masks(100.5))  # a stamp that went through a float
    assert len(matcher.take_pairs(GAP_NS)) == 1


def test_frames_between_keyframes_are_used_only_where_keyframes_have_no_masks() -> None:
    matcher = topic()
    for t_ms, keyframe in ((0, True), (300, False), (700, False), (900, True)):
        matcher.add_view(view(t_ms, keyframe))
        matcher.add_masks(masks(t_ms))
    used = [found.stamp_ns // MS for found, _ in matcher.take_pairs(GAP_NS)]
    assert used == [0, 700, 900], "every keyframe, and frames half a second away from a used view"
    assert matcher.counts["masks not needed"] == 1


def test_a_keyframe_waits_for_a_bounded_time() -> None:
    matcher = topic(wait_s=1.0)
    matcher.add_view(view(0))
    matcher.add_view(view(500, keyframe=False))
    matcher.add_view(view(1001))
    matcher.add_masks(masks(0))
    assert matcher.take_pairs(GAP_NS) == []
    assert matcher.counts["keyframes without masks"] == 1
    matcher.add_view(view(2500))
    matcher.drop_waiting_views()
    assert matcher.counts["keyframes without masks"] == 3, "the frame between them is no keyframe"


def test_masks_wait_in_a_bounded_queue() -> None:
    matcher = topic(wait_s=60.0)
    for k in range(40):
        matcher.add_masks(masks(k))
    assert matcher.counts["masks dropped"] == 24
    matcher.add_view(view(39))
    assert len(matcher.take_pairs(GAP_NS)) == 1, "the newest masks stay"


def test_stamps_that_no_image_has_are_reported_once() -> None:
    matcher = topic(wait_s=0.5)
    for k in range(12):
        matcher.add_masks(masks(1000 * k + 17))
        matcher.add_view(view(1000 * k))
        assert matcher.take_pairs(GAP_NS) == []
    assert list(matcher.problems) == ["masks: no image has their stamps; their node must copy the header of the image"]
    assert matcher.counts["masks without an image"] >= 10


def test_labels_are_renumbered_and_the_smallest_of_too_many_are_unjudged() -> None:
    labels = np.zeros((6, 8), int)
    labels[0] = 700
    labels[1, :4] = 3
    labels[2, :2] = 12
    labels[5] = -1
    matcher = topic(max_count=2)
    matcher.add_view(view(0))
    matcher.add_masks(masks(0, labels))
    ((_, proposal),) = matcher.take_pairs(GAP_NS)
    np.testing.assert_array_equal(proposal.scores, np.ones(2, np.float32))
    expected = np.zeros((6, 8), int)
    expected[0], expected[1, :4], expected[2, :2], expected[5] = 2, 1, -1, -1
    np.testing.assert_array_equal(proposal.labels, expected)


def test_masks_at_full_size_are_reduced_to_the_size_of_the_map() -> None:
    matcher = topic()
    matcher.add_view(view(0))
    large = np.zeros((48, 64), int)
    large[:, 32:] = 5
    matcher.add_masks(masks(0, large))
    ((_, proposal),) = matcher.take_pairs(GAP_NS)
    assert proposal.labels.shape == (6, 8)
    assert (proposal.labels[:, :4] == 0).all() and (proposal.labels[:, 4:] == 1).all()


@pytest.mark.parametrize("shape", [(48, 48), (24, 64)])
def test_masks_of_another_shape_are_skipped_and_reported(shape: tuple[int, int]) -> None:
    matcher = topic()
    matcher.add_view(view(0))
    matcher.add_masks(masks(0, np.ones(shape)))
    assert matcher.take_pairs(GAP_NS) == []
    assert f"masks of {shape[1]}x{shape[0]} at 0.000 s: want the shape of the image" in matcher.problems[0]
    assert matcher.counts["masks of a wrong shape"] == 1


def test_a_backward_time_jump_clears_the_queues() -> None:
    matcher = topic()
    matcher.add_view(view(9000))
    matcher.add_masks(masks(9100))
    matcher.clear()
    matcher.add_view(view(100))
    matcher.add_masks(masks(100))
    assert len(matcher.take_pairs(GAP_NS)) == 1
    assert matcher.counts["keyframes without masks"] == 0
