"""The simulated 2D masks do what their parameters say; truth of Gaussians and our instances from such masks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from echoseg_ros.eval.baselines.echosegnet.front_end import FrontEnd
from echoseg_ros.eval.segment.evaluate_scene import choice_of
from echoseg_ros.eval.segment.front_end_instances import pieces
from echoseg_ros.eval.segment.segmentation_metrics import avsbench_iou
from echoseg_ros.eval.segment.truth_gaussians import UNSEEN, chosen_object, gaussian_iou, truth_members

SIZE, VIEWS = 100, 400


@dataclass
class Drawn:
    """Objects 1 and 2 are of the sounding kind, 3 is not; object 2 is only in every other view."""

    path: Path = Path("/data/part_1/flat/room/1")
    sounding_ids: list[int] = field(default_factory=lambda: [1])
    object_names: list[str] = field(default_factory=lambda: ["a", "b", "c"])

    def ids_of_kind(self, of_id: int) -> list[int]:
        return [1, 2]

    def object_ids(self, view: SimpleNamespace) -> np.ndarray:
        ids = np.zeros((SIZE, SIZE), np.int32)
        ids[20:50, 20:50] = 1
        if view.frame.number % 2:
            ids[60:90, 20:50] = 2
        ids[10:40, 65:95] = 3
        return ids


SCENE = Drawn()
SEEN = [
    SimpleNamespace(frame=SimpleNamespace(number=n), camera=SimpleNamespace(height=SIZE, width=SIZE))
    for n in range(VIEWS)
]
PERFECT = FrontEnd(miss=0.0, small_px_share=0.0, false_mask=0.0, edge=0.0, growth=0.0)


def test_without_faults_all_of_the_kind_are_masked_and_nothing_else() -> None:
    for view in SEEN[:2]:
        assert (PERFECT.union(SCENE, view) == np.isin(SCENE.object_ids(view), [1, 2])).all()
    assert len(PERFECT.masks(SCENE, SEEN[0])) == 1 and len(PERFECT.masks(SCENE, SEEN[1])) == 2


def test_misses_and_false_masks_come_as_often_as_said() -> None:
    missing = FrontEnd(miss=0.3, small_px_share=0.0, false_mask=0.0)
    missed = np.mean([len(missing.masks(SCENE, view)) == 0 for view in SEEN[::2]])
    assert missed == pytest.approx(0.3, abs=0.1)  # 200 views: a standard error of 0.03
    # At the size where a tenth of the picture is seen half as often, 9 % of it is seen 0.09 / 0.19 of the time.
    small = FrontEnd(miss=0.0, small_px_share=0.1, false_mask=0.0)
    assert np.mean([len(small.masks(SCENE, view)) for view in SEEN[::2]]) == pytest.approx(0.09 / 0.19, abs=0.11)
    false = FrontEnd(miss=1.0, false_mask=0.4, confused=1.0, edge=0.0, growth=0.0)
    shown = [false.union(SCENE, view) for view in SEEN]
    assert np.mean([mask.any() for mask in shown]) == pytest.approx(0.4, abs=0.08)
    assert all((mask == (SCENE.object_ids(SEEN[0]) == 3)).all() for mask in shown if mask.any())


def test_edges_are_off_by_as_much_as_said_and_growth_is_outwards() -> None:
    truth = SCENE.object_ids(SEEN[0]) == 1
    ious = []
    for edge in (0.02, 0.1, 0.2):
        rough = FrontEnd(miss=0.0, small_px_share=0.0, false_mask=0.0, edge=edge, growth=0.0)
        ious.append(np.mean([avsbench_iou(rough.union(SCENE, view), truth) for view in SEEN[:40:2]]))
    assert 1 > ious[0] > ious[1] > ious[2] > 0.3
    grown = FrontEnd(miss=0.0, small_px_share=0.0, false_mask=0.0, edge=0.0, growth=0.1).union(SCENE, SEEN[0])
    assert grown[truth].all() and grown.sum() == pytest.approx(36 * 36, rel=0.1)  # 0.1 of 30 px on each side


def test_a_view_always_gets_the_same_masks_and_another_seed_others() -> None:
    front_end = FrontEnd()
    for view in SEEN[:5]:
        assert (front_end.union(SCENE, view) == front_end.union(SCENE, view)).all()
    same = [(FrontEnd(seed=1).union(SCENE, view) == front_end.union(SCENE, view)).all() for view in SEEN[:20]]
    assert not all(same)


def test_pieces_of_a_union_are_the_proposals() -> None:
    union = np.isin(SCENE.object_ids(SEEN[1]), [1, 2])
    union[0, 0] = True  # a speck
    proposal = pieces(union, 7, 0.5)
    assert proposal.scores.tolist() == [0.5, 0.5]
    assert sorted(np.bincount(proposal.labels.ravel()).tolist()) == [900, 900, SIZE * SIZE - 1800]
    assert pieces(np.zeros_like(union), 0, 1.0).labels.max() == 0


def test_truth_of_gaussians_is_the_majority_of_their_weight() -> None:
    weights = np.array([[0.0, 3, 1], [2, 1, 1], [0.1, 0.2, 0], [1, 0, 9], [5, 1, 0]], np.float32)
    members = truth_members(weights)
    assert members.tolist() == [1, 0, UNSEEN, 2, 0]
    chosen = np.array([True, False, True, False, False])
    assert gaussian_iou(chosen, members, [1]) == pytest.approx(0.5)  # what nobody sees counts as wrong
    assert gaussian_iou(chosen, members, [3]) is None
    assert chosen_object(chosen, members) == 1
    assert chosen_object(np.zeros(5, bool), members) is None
    assert chosen_object(np.array([False, False, True, False, False]), members) == 0


def test_a_choice_is_right_only_if_everything_named_sounds() -> None:
    members = np.array([1, 1, 2, 2, 0], np.int32)
    first, second, wall = (np.isin(np.arange(5), rows) for rows in ([0, 1], [2, 3], [4]))
    assert choice_of([first], members, [1]) == "right"
    assert choice_of([first, second], members, [1]) == "wrong"
    assert choice_of([wall], members, [1]) == "wrong"
    assert choice_of([first, second], members, [1, 2]) == "right"
    assert choice_of([], members, [1]) == "missed"
