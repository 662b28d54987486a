"""Views of a made-up map: Gaussians on a line, whose weights in each view are given directly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from echoseg_ros.config import InstanceConfig
from echoseg_ros.objects.instances import InstanceMap
from echoseg_ros.types import Float64Array, Instance, MaskProposal
from echoseg_ros.units import NOMINAL_ERROR

COUNT = 200
A, B, C = range(0, 40), range(40, 80), range(100, 140)
EVERYTHING = range(COUNT)


def positions(count: int = COUNT) -> Float64Array:
    rng = np.random.default_rng(0)
    return np.column_stack([np.arange(count) * 0.005, rng.uniform(0, 0.1, count), rng.uniform(0, 0.1, count)])


class Scene:
    """An instance map and the Gaussians it is fed with."""

    def __init__(self, **config: Any) -> None:
        self.map = InstanceMap(InstanceConfig(**config))
        self.uids = np.arange(COUNT, dtype=np.int64)
        self.means = positions().astype(np.float32)
        self.rgb = np.zeros((COUNT, 3), np.uint8)
        self.stamp_ns = 0

    def see(
        self,
        *proposals: Iterable[int],
        judged: Iterable[int] = EVERYTHING,
        scores: Sequence[float] | None = None,
        weight: float = 3.0,
    ) -> tuple[Instance, ...]:
        """One view: every judged Gaussian gets `weight` in the proposal that holds it, else in the background."""
        weights = np.zeros((len(self.uids), len(proposals) + 1), np.float32)
        weights[list(judged), 0] = weight
        for k, members in enumerate(proposals, start=1):
            weights[list(members), 0] = 0
            weights[list(members), k] = weight
        trust = np.ones(len(proposals), np.float32) if scores is None else np.asarray(scores, np.float32)
        self.map.update(self.uids, weights, MaskProposal(self.stamp_ns, np.zeros((2, 2), np.int32), trust, "test"))
        self.stamp_ns += 1
        return self.found()

    def found(self) -> tuple[Instance, ...]:
        self.map.refresh(self.uids, self.means, self.rgb)
        return self.map.instances


def members(instance: Instance) -> set[int]:
    return set(instance.uids.tolist())


def test_two_views_confirm_an_object() -> None:
    scene = Scene()
    assert scene.see(A) == ()
    (instance,) = scene.see(A)
    assert members(instance) == set(A)
    assert instance.views == 2 and instance.confidence > 0.95
    np.testing.assert_allclose(instance.position_m, scene.means[list(A)].mean(axis=0), atol=0.01)
    np.testing.assert_allclose(instance.box.size_m[2], 0.1, atol=0.02)
    np.testing.assert_array_equal(instance.points_map, scene.means[list(A)])


def test_ids_stay_while_objects_come_into_view() -> None:
    scene = Scene()
    scene.see(A, judged=A)
    first = scene.see(A, B, judged=[*A, *B])[0].id
    scene.see(C, B, judged=[*B, *C])
    found = scene.see(C, A, judged=[*A, *C])
    assert [members(i) for i in found if i.id == first] == [set(A)]
    assert sorted(map(min, map(members, found))) == [0, 40, 100]


def test_assignment_gives_each_gaussian_one_instance() -> None:
    scene = Scene()
    scene.see(A, C)
    found = {min(i.uids): i.id for i in scene.see(A, C)}
    assignment = scene.map.assignment(scene.uids)
    assert assignment.dtype == np.int32
    assert set(assignment[list(A)]) == {found[0]} and set(assignment[list(C)]) == {found[100]}
    assert set(assignment[list(B)]) == {-1}
    np.testing.assert_array_equal(scene.map.assignment(np.array([5, 105, 999])), [found[0], found[100], -1])


def test_votes_survive_insertion_and_pruning() -> None:
    scene = Scene()
    scene.see(A)
    (before,) = scene.see(A)
    scene.uids = np.concatenate([np.arange(10, 200), np.arange(300, 310)])  # ten of A are pruned, ten are new
    (after,) = scene.found()
    assert after.id == before.id
    (after,) = scene.see(range(0, 30))
    assert members(after) == set(range(10, 40))


def test_a_new_gaussian_joins_after_one_view() -> None:
    scene = Scene()
    scene.see(A)
    scene.see(A)
    scene.uids = np.concatenate([np.arange(0, 190), np.arange(300, 310)])
    (instance,) = scene.see([*A, *range(190, 200)])
    assert members(instance) == set(A) | set(range(300, 310))


def test_a_minority_of_views_does_not_make_a_member() -> None:
    scene = Scene()
    scene.see([*A, *B])
    scene.see(A)
    (instance,) = scene.see(A)
    assert members(instance) == set(A)


def test_unjudged_views_do_not_vote_against() -> None:
    scene = Scene()
    scene.see(A)
    scene.see(A)
    for _ in range(10):
        (instance,) = scene.see(judged=C)
    assert members(instance) == set(A)


def test_background_in_most_views_removes_an_object() -> None:
    scene = Scene()
    scene.see(A)
    scene.see(A)
    for _ in range(3):
        found = scene.see()
    assert found == () and len(scene.map) == 0


def test_one_view_alone_is_forgotten_when_it_is_not_confirmed() -> None:
    scene = Scene()
    scene.see(A, scores=[1.0])
    for _ in range(4):
        scene.see(C)
    assert len(scene.map) == 1


def test_an_object_missed_by_the_first_views_is_found_later() -> None:
    """Tracks whose Gaussians were all background so far used to be dropped at once, so that they never came up."""
    scene = Scene()
    for _ in range(4):
        scene.see(C)
    for _ in range(6):
        found = scene.see(A, C)
    assert [members(i) for i in found] == [set(C), set(A)]


def test_old_judgements_fade() -> None:
    scene = Scene()
    for _ in range(60):
        scene.see(C)
    for _ in range(20):
        found = scene.see(A, C)
    assert [members(i) for i in found] == [set(C), set(A)]


def test_parts_that_two_views_join_become_one_with_the_older_id() -> None:
    scene = Scene()
    scene.see(A)
    first = scene.see(A)[0].id
    scene.see(B, judged=B)
    for _ in range(3):
        found = scene.see([*A, *B])
    assert [i.id for i in found] == [first]
    assert members(found[0]) == set(A) | set(B)


def test_objects_that_one_view_confuses_stay_two() -> None:
    scene = Scene()
    for _ in range(4):
        scene.see(A, B)
    scene.see([*A, *B])
    found = scene.see(A, B)
    assert [members(i) for i in found] == [set(A), set(B)]


def test_an_object_that_was_two_is_split() -> None:
    scene = Scene()
    scene.see([*A, *B])
    for _ in range(4):
        found = scene.see(A, B)
    assert sorted(map(sorted, map(members, found))) == [list(A), list(B)]


def test_near_views_do_not_outvote_far_ones() -> None:
    scene = Scene()
    scene.see([*A, *B], weight=500.0)
    scene.see(A, weight=3.0)
    scene.see(A, weight=3.0)
    assert [members(i) for i in scene.found()] == [set(A)]


def test_the_count_is_bounded() -> None:
    scene = Scene(max_count=3)
    groups = [range(i, i + 12) for i in range(0, 96, 12)]
    scene.see(*groups)
    found = scene.see(*groups[:5])
    assert len(scene.map) <= 3 and len(found) == 3


def test_a_result_does_not_change_afterwards() -> None:
    scene = Scene()
    scene.see(A)
    (instance,) = scene.see(A)
    uids, points = instance.uids.copy(), instance.points_map.copy()
    scene.means += 1
    scene.see(A, B)
    np.testing.assert_array_equal(instance.uids, uids)
    np.testing.assert_array_equal(instance.points_map, points)


def test_an_instance_follows_the_map_when_no_view_shows_it() -> None:
    """Nominal metres are found while mapping: what no view voted on any more stayed in old ones, and the sound was sought there."""
    scene = Scene()
    scene.see(A)
    old, _ = scene.see(A, C), scene.see(C, judged=C)
    scene.means[list(A)] += 0.5
    moved, still = scene.found()
    np.testing.assert_array_equal(moved.points_map, scene.means[list(A)])
    np.testing.assert_allclose(moved.position_m, old[0].position_m + 0.5, atol=1e-5)
    np.testing.assert_allclose(moved.box.center_m, old[0].box.center_m + 0.5, atol=1e-5)
    assert members(still) == set(C)


def test_an_instance_loses_what_was_pruned_while_no_view_shows_it() -> None:
    scene = Scene()
    scene.see(A)
    scene.see(A)
    scene.see(judged=C)
    scene.uids, scene.means, scene.rgb = scene.uids[15:], scene.means[15:], scene.rgb[15:]
    assert [members(i) for i in scene.found()] == [set(A[15:])]


def test_second_looks_correct_the_first_and_count_as_one_view_each() -> None:
    scene = Scene()
    first = [scene.see([*A, *B]) for _ in range(6)][-1][0]
    scene.map.prepare_repeat()
    scene.stamp_ns = 0
    for _ in range(6):
        found = scene.see(A, judged=[*A, *B])
    assert [(i.id, members(i), i.views) for i in found] == [(first.id, set(A), 6)]
    assert [weight for _, weight in found[0].support] == [pytest.approx(0.9 * len(A), rel=0.1)] * 6


def test_what_second_looks_do_not_show_stays() -> None:
    scene = Scene()
    for _ in range(3):
        scene.see(A, C)
    scene.map.prepare_repeat()
    scene.stamp_ns = 0
    for _ in range(3):
        found = scene.see(A, judged=[*A, *B])
    assert sorted(map(sorted, map(members, found))) == [list(A), list(C)]


def test_empty_map_and_empty_proposal() -> None:
    scene = Scene()
    assert scene.see() == ()
    nothing = InstanceMap()
    nothing.update(
        np.zeros(0, np.int64),
        np.zeros((0, 1), np.float32),
        MaskProposal(0, np.zeros((2, 2), np.int32), np.zeros(0, np.float32), "t"),
    )
    nothing.refresh(np.zeros(0, np.int64), np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8))
    assert nothing.instances == ()
    np.testing.assert_array_equal(nothing.assignment(np.array([1, 2])), [-1, -1])


def test_weights_must_fit_the_proposal() -> None:
    with pytest.raises(ValueError, match=r"want \[5, 3\]"):
        InstanceMap().update(
            np.arange(5),
            np.zeros((5, 2), np.float32),
            MaskProposal(0, np.zeros((2, 2), np.int32), np.ones(2, np.float32), "t"),
        )


def test_what_shines_through_belongs_to_nothing() -> None:
    """Gaussians behind an object used to join it, because no view but those through it ever judged them."""
    scene = Scene()
    for stamp_ns in range(8):
        weights = np.zeros((COUNT, 2), np.float32)
        weights[list(A), 1], weights[list(B), 1], weights[list(C), 0] = 4.0, 0.3, 4.0
        proposal = MaskProposal(stamp_ns, np.zeros((2, 2), np.int32), np.ones(1, np.float32), "test")
        scene.map.update(scene.uids, weights, proposal)
    assert [members(i) for i in scene.found()] == [set(A)]


def test_a_candidate_out_of_view_waits_for_its_second_view() -> None:
    """Candidates used to go after ten views of anything else, so that what is seen rarely was never confirmed."""
    scene = Scene()
    scene.see(A, judged=A)
    for _ in range(30):
        scene.see(C, judged=C)
    found = scene.see(A, judged=A)
    assert [members(i) for i in found] == [set(A), set(C)]


def test_things_may_seem_larger_where_metres_are_only_nominal() -> None:
    """A washing machine in a small bathroom seemed 1.4 m high in nominal metres and was dropped as furniture."""
    points = np.random.default_rng(0).uniform(0, 1.4, (200, 3)).astype(np.float32)
    uids, rgb = np.arange(200), np.zeros((200, 3), np.uint8)
    found = []
    for error in (1.0, NOMINAL_ERROR):
        instances = InstanceMap(size_error=error)
        for stamp_ns in range(3):
            weights = np.tile(np.array([[0, 4.0]], np.float32), (200, 1))
            instances.update(
                uids, weights, MaskProposal(stamp_ns, np.zeros((2, 2), np.int32), np.ones(1, np.float32), "test")
            )
        instances.refresh(uids, points, rgb)
        found.append(len(instances.instances))
    assert found == [0, 1]


def test_an_instance_of_which_colours_leave_nothing_is_not_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """A box around no Gaussians at all would end the map's thread."""
    monkeypatch.setattr("echoseg_ros.objects.instances.refine_boundary", lambda *_: np.zeros(0, np.intp))
    scene = Scene()
    scene.see(A)
    assert scene.see(A) == ()
    monkeypatch.undo()
    assert len(scene.see(A)) == 1


def two_separate_boxes(scene: Scene) -> tuple[list[int], list[int], tuple[Instance, ...]]:
    """Two boxes of 40 Gaussians, half a metre apart, that views have shown as one."""
    scene.means[list(B), 0] += 0.5
    first, second = list(A), list(B)
    for _ in range(3):
        found = scene.see([*first, *second])
    return first, second, found


def test_what_stands_apart_is_a_thing_of_its_own() -> None:
    first, second, found = two_separate_boxes(Scene())
    assert [members(instance) for instance in found] == [set(first), set(second)]


def test_what_was_split_stays_two_where_views_show_it_as_one() -> None:
    """A mask over two things that overlap in a view was voted to one of them, which took the other's Gaussians."""
    scene = Scene()
    first, second, found = two_separate_boxes(scene)
    for _ in range(6):
        again = scene.see([*first, *second])
    assert [members(instance) for instance in again] == [set(first), set(second)]
    assert [instance.id for instance in again] == [instance.id for instance in found]


def test_the_near_pieces_of_one_thing_are_not_split() -> None:
    scene = Scene()
    scene.means[list(B), 0] += 0.05
    for _ in range(3):
        found = scene.see([*A, *B])
    assert [members(instance) for instance in found] == [{*A, *B}]


def test_what_was_split_may_grow_together() -> None:
    """The middle of a thing was hidden: once it is seen, the two halves are one again."""
    scene = Scene()
    first, second, middle = list(A), list(B), list(range(80, 140))
    scene.means[second, 0] += 0.3
    scene.means[middle, 0] = np.linspace(scene.means[39, 0], scene.means[40, 0], 60)
    for _ in range(3):
        found = scene.see([*first, *second], judged=[*first, *second])
    assert len(found) == 2
    for _ in range(8):
        found = scene.see([*first, *middle, *second])
    assert [members(instance) for instance in found] == [{*first, *middle, *second}]
