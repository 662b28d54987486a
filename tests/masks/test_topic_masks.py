"""Masks of other nodes and the views they belong to."""

from __future__ import annotations

import numpy as np
import pytest

from echoseg_ros.config import MaskConfig
from echoseg_ros.masks.topic_masks import MaskView, TopicMasks
from echoseg_ros.types import Camera, MaskImage

CAMERA = Camera(8, 6, 5.0, 5.0, 4.0, 3.0)
MS = 1_000_000
GAP_NS = 500 * MS


def view(t_ms: float, keyframe: bool = True) -> MaskView:
    return MaskView(round(t_ms * MS), CAMERA, np.eye(4), np.zeros((6, 8, 3), np.uint8), keyframe)


def masks(t_ms: float, labels: np.ndarray | None = None) -> MaskImage:
    return MaskImage(round(t_ms * MS), np.ones((6, 8), np.int32) if labels is None else labels.astype(np.int32))


def topic(**settings) -> TopicMasks:
    return TopicMasks(MaskConfig(backend="topic", **settings))


def test_masks_come_after_their_view_or_before_it() -> None:
    sent = topic()
    sent.add_view(view(100))
    assert sent.take_pairs(GAP_NS) == []
    sent.add_masks(masks(100))
    sent.add_masks(masks(1200))
    ((found, proposal),) = sent.take_pairs(GAP_NS)
    assert found.stamp_ns == proposal.stamp_ns == 100 * MS and proposal.backend == "topic"
    sent.add_view(view(1200))
    ((found, _),) = sent.take_pairs(GAP_NS)
    assert found.stamp_ns == 1200 * MS
    assert sent.take_pairs(GAP_NS) == [] and sent.counts["masks used"] == 2


def test_masks_of_another_image_are_not_taken() -> None:
    sent = topic()
    sent.add_view(view(100))
    sent.add_masks(masks(133))
    assert sent.take_pairs(GAP_NS) == []
    sent.add_masks(masks(100.5))  # a stamp that went through a float
    assert len(sent.take_pairs(GAP_NS)) == 1


def test_frames_between_keyframes_are_used_only_where_keyframes_have_no_masks() -> None:
    sent = topic()
    for t_ms, keyframe in ((0, True), (300, False), (700, False), (900, True)):
        sent.add_view(view(t_ms, keyframe))
        sent.add_masks(masks(t_ms))
    used = [found.stamp_ns // MS for found, _ in sent.take_pairs(GAP_NS)]
    assert used == [0, 700, 900], "every keyframe, and frames half a second from what was used"
    assert sent.counts["masks not needed"] == 1


def test_a_keyframe_waits_for_a_bounded_time() -> None:
    sent = topic(wait_s=1.0)
    sent.add_view(view(0))
    sent.add_view(view(500, keyframe=False))
    sent.add_view(view(1001))
    sent.add_masks(masks(0))
    assert sent.take_pairs(GAP_NS) == []
    assert sent.counts["keyframes without masks"] == 1
    sent.add_view(view(2500))
    sent.drop_waiting_views()
    assert sent.counts["keyframes without masks"] == 3, "the frame between is no keyframe"


def test_masks_wait_in_a_bounded_queue() -> None:
    sent = topic(wait_s=60.0)
    for k in range(40):
        sent.add_masks(masks(k))
    assert sent.counts["masks dropped"] == 24
    sent.add_view(view(39))
    assert len(sent.take_pairs(GAP_NS)) == 1, "the newest stay"


def test_stamps_that_no_image_has_are_said_once() -> None:
    sent = topic(wait_s=0.5)
    for k in range(12):
        sent.add_masks(masks(1000 * k + 17))
        sent.add_view(view(1000 * k))
        assert sent.take_pairs(GAP_NS) == []
    assert list(sent.problems) == ["masks: no image has their stamps; their node must copy the header of the image"]
    assert sent.counts["masks without an image"] >= 10


def test_numbers_are_closed_up_and_the_smallest_of_too_many_left_unjudged() -> None:
    labels = np.zeros((6, 8), int)
    labels[0] = 700
    labels[1, :4] = 3
    labels[2, :2] = 12
    labels[5] = -1
    sent = topic(max_count=2)
    sent.add_view(view(0))
    sent.add_masks(masks(0, labels))
    ((_, proposal),) = sent.take_pairs(GAP_NS)
    np.testing.assert_array_equal(proposal.scores, np.ones(2, np.float32))
    expected = np.zeros((6, 8), int)
    expected[0], expected[1, :4], expected[2, :2], expected[5] = 2, 1, -1, -1
    np.testing.assert_array_equal(proposal.labels, expected)


def test_masks_at_the_images_full_size_are_brought_to_the_maps() -> None:
    sent = topic()
    sent.add_view(view(0))
    large = np.zeros((48, 64), int)
    large[:, 32:] = 5
    sent.add_masks(masks(0, large))
    ((_, proposal),) = sent.take_pairs(GAP_NS)
    assert proposal.labels.shape == (6, 8)
    assert (proposal.labels[:, :4] == 0).all() and (proposal.labels[:, 4:] == 1).all()


@pytest.mark.parametrize("shape", [(48, 48), (24, 64)])
def test_masks_of_another_shape_are_skipped_and_said(shape: tuple[int, int]) -> None:
    sent = topic()
    sent.add_view(view(0))
    sent.add_masks(masks(0, np.ones(shape)))
    assert sent.take_pairs(GAP_NS) == []
    assert f"masks of {shape[1]}x{shape[0]} at 0.000 s: want the shape of the image" in sent.problems[0]
    assert sent.counts["masks of a wrong shape"] == 1


def test_nothing_of_another_time_is_left_after_a_restart() -> None:
    sent = topic()
    sent.add_view(view(9000))
    sent.add_masks(masks(9100))
    sent.clear()
    sent.add_view(view(100))
    sent.add_masks(masks(100))
    assert len(sent.take_pairs(GAP_NS)) == 1
    assert sent.counts["keyframes without masks"] == 0
