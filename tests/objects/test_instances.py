"""The instance map: candidates, votes and merging, over views with given weights."""

from __future__ import annotations

import numpy as np
import pytest
from instance_scene import A, B, C, InstanceScene, members

from echoseg_ros.objects.instances import InstanceMap
from echoseg_ros.types import MaskProposal


def test_two_views_confirm_an_object() -> None:
    scene = InstanceScene()
    assert scene.add_view(A) == ()
    (instance,) = scene.add_view(A)
    assert members(instance) == set(A)
    assert instance.views == 2 and instance.confidence > 0.95
    np.testing.assert_allclose(instance.position_m, scene.means[list(A)].mean(axis=0), atol=0.01)
    np.testing.assert_allclose(instance.box.size_m[2], 0.1, atol=0.02)
    np.testing.assert_array_equal(instance.points_map, scene.means[list(A)])


def test_ids_stay_while_objects_come_into_view() -> None:
    scene = InstanceScene()
    scene.add_view(A, judged=A)
    first = scene.add_view(A, B, judged=[*A, *B])[0].id
    scene.add_view(C, B, judged=[*B, *C])
    found = scene.add_view(C, A, judged=[*A, *C])
    assert [members(i) for i in found if i.id == first] == [set(A)]
    assert sorted(map(min, map(members, found))) == [0, 40, 100]


def test_assignment_gives_each_gaussian_one_instance() -> None:
    scene = InstanceScene()
    scene.add_view(A, C)
    found = {min(i.uids): i.id for i in scene.add_view(A, C)}
    assignment = scene.map.assignment(scene.uids)
    assert assignment.dtype == np.int32
    assert set(assignment[list(A)]) == {found[0]} and set(assignment[list(C)]) == {found[100]}
    assert set(assignment[list(B)]) == {-1}
    np.testing.assert_array_equal(scene.map.assignment(np.array([5, 105, 999])), [found[0], found[100], -1])


def test_votes_survive_insertion_and_pruning() -> None:
    scene = InstanceScene()
    scene.add_view(A)
    (before,) = scene.add_view(A)
    scene.uids = np.concatenate([np.arange(10, 200), np.arange(300, 310)])  # ten of A are pruned, ten are new
    (after,) = scene.instances()
    assert after.id == before.id
    (after,) = scene.add_view(range(0, 30))
    assert members(after) == set(range(10, 40))


def test_a_new_gaussian_joins_after_one_view() -> None:
    scene = InstanceScene()
    scene.add_view(A)
    scene.add_view(A)
    scene.uids = np.concatenate([np.arange(0, 190), np.arange(300, 310)])
    (instance,) = scene.add_view([*A, *range(190, 200)])
    assert members(instance) == set(A) | set(range(300, 310))


def test_a_minority_of_views_does_not_make_a_member() -> None:
    scene = InstanceScene()
    scene.add_view([*A, *B])
    scene.add_view(A)
    (instance,) = scene.add_view(A)
    assert members(instance) == set(A)


def test_unjudged_views_do_not_vote_against() -> None:
    scene = InstanceScene()
    scene.add_view(A)
    scene.add_view(A)
    for _ in range(10):
        (instance,) = scene.add_view(judged=C)
    assert members(instance) == set(A)


def test_background_in_most_views_removes_an_object() -> None:
    scene = InstanceScene()
    scene.add_view(A)
    scene.add_view(A)
    for _ in range(3):
        found = scene.add_view()
    assert found == () and len(scene.map) == 0


def test_a_candidate_of_a_single_view_is_dropped() -> None:
    scene = InstanceScene()
    scene.add_view(A, scores=[1.0])
    for _ in range(4):
        scene.add_view(C)
    assert len(scene.map) == 1


def test_an_object_missed_by_the_first_views_is_found_later() -> None:
    """Regression: candidates whose Gaussians were all background so far were dropped at once and never confirmed."""
    scene = InstanceScene()
    for _ in range(4):
        scene.add_view(C)
    for _ in range(6):
        found = scene.add_view(A, C)
    assert [members(i) for i in found] == [set(C), set(A)]


def test_earlier_judgements_fade() -> None:
    scene = InstanceScene()
    for _ in range(60):
        scene.add_view(C)
    for _ in range(20):
        found = scene.add_view(A, C)
    assert [members(i) for i in found] == [set(C), set(A)]


def test_parts_that_two_views_join_become_one_with_the_older_id() -> None:
    scene = InstanceScene()
    scene.add_view(A)
    first = scene.add_view(A)[0].id
    scene.add_view(B, judged=B)
    for _ in range(3):
        found = scene.add_view([*A, *B])
    assert [i.id for i in found] == [first]
    assert members(found[0]) == set(A) | set(B)


def test_objects_that_one_view_joins_stay_two() -> None:
    scene = InstanceScene()
    for _ in range(4):
        scene.add_view(A, B)
    scene.add_view([*A, *B])
    found = scene.add_view(A, B)
    assert [members(i) for i in found] == [set(A), set(B)]


def test_an_instance_of_two_objects_is_split_by_later_views() -> None:
    scene = InstanceScene()
    scene.add_view([*A, *B])
    for _ in range(4):
        found = scene.add_view(A, B)
    assert sorted(map(sorted, map(members, found))) == [list(A), list(B)]


def test_the_number_of_instances_is_bounded() -> None:
    scene = InstanceScene(max_count=3)
    groups = [range(i, i + 12) for i in range(0, 96, 12)]
    scene.add_view(*groups)
    found = scene.add_view(*groups[:5])
    assert len(scene.map) <= 3 and len(found) == 3


def test_a_published_instance_does_not_change_afterwards() -> None:
    scene = InstanceScene()
    scene.add_view(A)
    (instance,) = scene.add_view(A)
    uids, points = instance.uids.copy(), instance.points_map.copy()
    scene.means += 1
    scene.add_view(A, B)
    np.testing.assert_array_equal(instance.uids, uids)
    np.testing.assert_array_equal(instance.points_map, points)


def test_repeated_views_correct_the_first_ones_and_are_not_counted_twice() -> None:
    scene = InstanceScene()
    first = [scene.add_view([*A, *B]) for _ in range(6)][-1][0]
    scene.map.prepare_repeat()
    scene.stamp_ns = 0
    for _ in range(6):
        found = scene.add_view(A, judged=[*A, *B])
    assert [(i.id, members(i), i.views) for i in found] == [(first.id, set(A), 6)]
    assert [weight for _, weight in found[0].support] == [pytest.approx(0.9 * len(A), rel=0.1)] * 6


def test_instances_that_repeated_views_do_not_show_stay() -> None:
    scene = InstanceScene()
    for _ in range(3):
        scene.add_view(A, C)
    scene.map.prepare_repeat()
    scene.stamp_ns = 0
    for _ in range(3):
        found = scene.add_view(A, judged=[*A, *B])
    assert sorted(map(sorted, map(members, found))) == [list(A), list(C)]


def test_empty_map_and_empty_proposal() -> None:
    scene = InstanceScene()
    assert scene.add_view() == ()
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


def test_a_candidate_out_of_view_waits_for_its_second_view() -> None:
    """Regression: ten views of other objects dropped a candidate, so rarely seen objects were never confirmed."""
    scene = InstanceScene()
    scene.add_view(A, judged=A)
    for _ in range(30):
        scene.add_view(C, judged=C)
    found = scene.add_view(A, judged=A)
    assert [members(i) for i in found] == [set(A), set(C)]


def test_an_instance_without_gaussians_after_refinement_is_not_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """A box around no Gaussians would end the map's worker."""
    monkeypatch.setattr("echoseg_ros.objects.instances.refine_boundary", lambda *_: np.zeros(0, np.intp))
    scene = InstanceScene()
    scene.add_view(A)
    assert scene.add_view(A) == ()
    monkeypatch.undo()
    assert len(scene.add_view(A)) == 1
