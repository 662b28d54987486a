"""The simulated 2D masks have the errors that their parameters state."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_scene import SCENE, VIEWS

from echoseg_ros.eval.segment.front_end import FrontEnd
from echoseg_ros.eval.segment.segmentation_metrics import avsbench_iou

PERFECT = FrontEnd(miss=0.0, small_px_share=0.0, false_mask=0.0, edge=0.0, growth=0.0)


def test_without_errors_all_objects_of_the_kind_are_masked_and_no_others() -> None:
    for view in VIEWS[:2]:
        assert (PERFECT.union(SCENE, view) == np.isin(SCENE.object_ids(view), [1, 2])).all()
    assert len(PERFECT.masks(SCENE, VIEWS[0])) == 1 and len(PERFECT.masks(SCENE, VIEWS[1])) == 2


def test_misses_and_false_masks_are_as_frequent_as_stated() -> None:
    missing = FrontEnd(miss=0.3, small_px_share=0.0, false_mask=0.0)
    missed = np.mean([len(missing.masks(SCENE, view)) == 0 for view in VIEWS[::2]])
    assert missed == pytest.approx(0.3, abs=0.1)  # 200 views: a standard error of 0.03
    # At the size where a tenth of the picture is seen half as often, 9 % of it is seen 0.09 / 0.19 of the time.
    small = FrontEnd(miss=0.0, small_px_share=0.1, false_mask=0.0)
    assert np.mean([len(small.masks(SCENE, view)) for view in VIEWS[::2]]) == pytest.approx(0.09 / 0.19, abs=0.11)
    false = FrontEnd(miss=1.0, false_mask=0.4, confused=1.0, edge=0.0, growth=0.0)
    masks = [false.union(SCENE, view) for view in VIEWS]
    assert np.mean([mask.any() for mask in masks]) == pytest.approx(0.4, abs=0.08)
    assert all((mask == (SCENE.object_ids(VIEWS[0]) == 3)).all() for mask in masks if mask.any())


def test_edges_deviate_and_growth_is_outwards() -> None:
    truth = SCENE.object_ids(VIEWS[0]) == 1
    ious = []
    for edge in (0.02, 0.1, 0.2):
        rough = FrontEnd(miss=0.0, small_px_share=0.0, false_mask=0.0, edge=edge, growth=0.0)
        ious.append(np.mean([avsbench_iou(rough.union(SCENE, view), truth) for view in VIEWS[:40:2]]))
    assert 1 > ious[0] > ious[1] > ious[2] > 0.3
    grown = FrontEnd(miss=0.0, small_px_share=0.0, false_mask=0.0, edge=0.0, growth=0.1).union(SCENE, VIEWS[0])
    assert grown[truth].all() and grown.sum() == pytest.approx(36 * 36, rel=0.1)  # 0.1 of 30 px on each side


def test_a_view_always_gets_the_same_masks_and_another_seed_others() -> None:
    front_end = FrontEnd()
    for view in VIEWS[:5]:
        assert (front_end.union(SCENE, view) == front_end.union(SCENE, view)).all()
    same = [(FrontEnd(seed=1).union(SCENE, view) == front_end.union(SCENE, view)).all() for view in VIEWS[:20]]
    assert not all(same)
