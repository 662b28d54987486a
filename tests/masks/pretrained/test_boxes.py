"""Which boxes of a detector are worth a mask."""

from __future__ import annotations

import numpy as np
import pytest

from echoseg_ros.config import MaskConfig
from echoseg_ros.errors import BackendError
from echoseg_ros.masks.pretrained.boxes import Boxes, make_detector, select_boxes


def boxes(*corners: tuple[float, ...], scores: list[float]) -> Boxes:
    names = tuple(f"thing {k}" for k in range(len(corners)))
    return Boxes(np.array(corners, np.float32).reshape(-1, 4), np.array(scores, np.float32), names)


def test_the_best_of_each_thing_stays_in_order_of_score() -> None:
    found = boxes((10, 10, 30, 30), (11, 10, 31, 30), (50, 50, 60, 70), scores=[0.5, 0.6, 0.9])
    kept = select_boxes(found, 100, 80, 10)
    assert kept.names == ("thing 2", "thing 1")
    np.testing.assert_array_equal(kept.scores, np.float32([0.9, 0.6]))


def test_a_part_of_a_thing_is_another_thing() -> None:
    kept = select_boxes(boxes((10, 10, 50, 50), (20, 20, 40, 40), scores=[0.5, 0.6]), 100, 80, 10)
    assert len(kept.names) == 2


def test_most_of_the_image_is_no_thing() -> None:
    kept = select_boxes(boxes((0, 0, 99, 79), (0, 0, 99, 60), scores=[0.9, 0.2]), 100, 80, 10)
    assert kept.names == ("thing 1",)


def test_boxes_end_at_the_image_and_those_outside_go() -> None:
    kept = select_boxes(
        boxes((-20, -10, 30, 20), (110, 10, 130, 30), (5, 5, 6, 60), scores=[0.3, 0.9, 0.9]), 100, 80, 10
    )
    np.testing.assert_array_equal(kept.corners_px, np.float32([[0, 0, 30, 20]]))


def test_no_more_than_asked_for_and_none_of_none() -> None:
    many = boxes(*((10.0 * k, 0, 10 * k + 8, 20) for k in range(9)), scores=[0.1 * k for k in range(9)])
    assert select_boxes(many, 100, 80, 3).names == ("thing 8", "thing 7", "thing 6")
    assert select_boxes(boxes(scores=[]), 100, 80, 3).names == ()


def test_unknown_detector_is_named_with_the_known_ones() -> None:
    import dataclasses

    config = dataclasses.replace(MaskConfig(), detector="magic")
    with pytest.raises(BackendError, match="'magic'.*owlv2, grounding_dino"):
        make_detector(config)
