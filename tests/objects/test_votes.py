"""The table of votes of views on Gaussians."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from echoseg_ros.objects.votes import VoteTable, find_rows


def table_with(votes: Sequence[tuple[Mapping[int, float], int]], count: int = 6) -> VoteTable:
    """A table of `count` Gaussians with uids 10, 20, ...; votes: ({gaussian: share}, candidate) of each view."""
    table = VoteTable()
    table.align(np.arange(1, count + 1) * 10)
    for gaussians, candidate in votes:
        share = np.zeros((count, 2), np.float32)
        for g, value in gaussians.items():
            share[g] = 0.9 - value, value
        table.add(share, np.array([candidate], np.int32), np.ones(1, np.float32))
    return table


def test_find_rows_finds_known_uids() -> None:
    known, index = find_rows(np.array([2, 5, 9]), np.array([1, 2, 9, 12]))
    np.testing.assert_array_equal(known, [False, True, True, False])
    np.testing.assert_array_equal(index[known], [0, 2])
    assert not find_rows(np.zeros(0, np.int64), np.array([3]))[0].any()


def test_members_have_more_than_half_of_their_judgements() -> None:
    always, once = {0: 0.9, 1: 0.9, 2: 0.9}, {3: 0.9}
    table = table_with([({**always, **once}, 0), ({**always, 3: 0.0}, 0), ({**always, 3: 0.0}, 0)])
    owner, membership = table.owners()
    np.testing.assert_array_equal(owner, [0, 0, 0, -1, -1, -1])
    assert abs(membership[0] - 1) < 1e-6


def test_an_object_that_views_often_miss_keeps_its_whole_outline() -> None:
    """Regression: with half of all judgements as threshold only the inside remained; the object was a third too small."""
    inside, edge, beside = {0: 0.9, 1: 0.9, 2: 0.9}, {3: 0.55}, {4: 0.3}
    missed = dict.fromkeys(range(5), 0.0)
    table = table_with([({**inside, **edge, **beside}, 0)] * 3 + [(missed, 0)] * 2)
    np.testing.assert_array_equal(table.owners()[0], [0, 0, 0, 0, -1, -1])


def test_an_object_that_most_views_miss_owns_no_gaussians() -> None:
    table = table_with([({0: 0.9, 1: 0.9}, 0)] * 2 + [({0: 0.0, 1: 0.0}, 0)] * 3)
    assert np.all(table.owners()[0] == -1)


def test_the_candidate_with_most_votes_owns_a_gaussian() -> None:
    table = table_with([({0: 0.9}, 3), ({0: 0.9}, 1), ({0: 0.9}, 1)])
    assert table.owners()[0][0] == 1


def test_votes_follow_their_gaussians_through_insertion_and_pruning() -> None:
    table = table_with([({0: 0.9, 2: 0.8, 5: 0.7}, 4)])
    table.align(np.array([10, 15, 30, 60, 61]))
    np.testing.assert_array_equal(table.owners()[0], [4, -1, 4, 4, -1])
    np.testing.assert_allclose(table.judgements, [0.9, 0, 0.9, 0.9, 0], atol=1e-6)


def test_scaled_votes_keep_their_majority_until_new_ones_exceed_them() -> None:
    table = table_with([({0: 0.9, 1: 0.9}, 0)] * 5)
    table.scale(0.2)
    np.testing.assert_array_equal(table.owners()[0][:3], [0, 0, -1])
    share = np.zeros((6, 2), np.float32)
    share[1, 1] = 0.9
    for _ in range(2):
        table.add(share, np.array([3], np.int32), np.ones(1, np.float32))
    np.testing.assert_array_equal(table.owners()[0][:3], [0, 3, -1])


def test_relabelling_joins_and_deletes_candidates_and_keeps_sums() -> None:
    table = table_with([({0: 0.9}, 0), ({0: 0.6, 1: 0.9}, 1), ({2: 0.9}, 2)])
    table.relabel(np.array([1, 1, -1], np.int32))
    owner, membership = table.owners()
    np.testing.assert_array_equal(owner[:3], [1, 1, -1])
    assert membership[0] == np.float32(1.5 / 1.8) or abs(membership[0] - 1.5 / 1.8) < 1e-6


def test_a_fifth_candidate_replaces_only_a_weaker_one() -> None:
    table = table_with([({0: 0.1 * (t + 1)}, t) for t in range(4)] + [({0: 0.05}, 8), ({0: 0.9}, 9)])
    shared, _, _ = table.overlap(np.full((6, 2), 0.5, np.float32), 10)
    assert shared[8] == 0 and shared[0] == 0 and (shared[[1, 2, 3, 9]] > 0).all()


def test_overlap_is_the_weighted_sum_over_members() -> None:
    table = table_with([({0: 0.9, 1: 0.9}, 0)])
    share = np.zeros((6, 3), np.float32)
    share[0], share[1], share[3] = (0, 0.8, 0), (0.2, 0, 0.5), (0, 0, 0.9)
    shared, visible, whole = table.overlap(share, 1)
    np.testing.assert_allclose(shared, [[0.8, 0.5]], atol=1e-6)
    np.testing.assert_allclose(visible, [1.5], atol=1e-6)
    np.testing.assert_allclose(whole, [2.0], atol=1e-6)
