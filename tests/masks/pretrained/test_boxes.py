"""Selection of the boxes of a detector that get a mask."""

from __future__ import annotations

import numpy as np

from echoseg_ros.masks.pretrained.boxes import Boxes, select_boxes


def boxes(*corners: tuple[float, ...], scores: list[float]) -> Boxes:
    names = tuple(f"box {k}" for k in range(len(corners)))
    return Boxes(np.array(corners, np.float32).reshape(-1, 4), np.array(scores, np.float32), names)


def test_the_best_box_of_each_object_stays_in_order_of_score() -> None:
    found = boxes((10, 10, 30, 30), (11, 10, 31, 30), (50, 50, 60, 70), scores=[0.5, 0.6, 0.9])
    kept = select_boxes(found, 100, 80, 10)
    assert kept.names == ("box 2", "box 1")
    np.testing.assert_array_equal(kept.scores, np.array([0.9, 0.6], np.float32))


def test_a_part_of_an_object_is_an_object_of_its_own() -> None:
    kept = select_boxes(boxes((10, 10, 50, 50), (20, 20, 40, 40), scores=[0.5, 0.6]), 100, 80, 10)
    assert len(kept.names) == 2


def test_boxes_of_most_of_the_image_are_dropped() -> None:
    kept = select_boxes(boxes((0, 0, 99, 79), (0, 0, 99, 60), scores=[0.9, 0.2]), 100, 80, 10)
    assert kept.names == ("box 1",)


def test_boxes_are_clipped_to_the_image_and_those_outside_are_dropped() -> None:
    kept = select_boxes(
        boxes((-20, -10, 30, 20), (110, 10, 130, 30), (5, 5, 6, 60), scores=[0.3, 0.9, 0.9]), 100, 80, 10
    )
    np.testing.assert_array_equal(kept.corners_px, np.array([[0, 0, 30, 20]], np.float32))


def test_at_most_the_given_count_is_selected() -> None:
    many = boxes(*((10.0 * k, 0, 10 * k + 8, 20) for k in range(9)), scores=[0.1 * k for k in range(9)])
    assert select_boxes(many, 100, 80, 3).names == ("box 8", "box 7", "box 6")
    assert select_boxes(boxes(scores=[]), 100, 80, 3).names == ()
