"""Names of instances by the votes of named proposals."""

from __future__ import annotations

import numpy as np
import pytest

from echoseg_ros.objects.name_votes import NameVotes
from echoseg_ros.types import Float32Array, MaskProposal

IDS = np.array([4, 4, 4, 9, 9, -1])


def view(weights: list[list[float]], names: tuple[str, ...], scores: list[float]) -> tuple[Float32Array, MaskProposal]:
    """A view; weights: of each proposal on the six Gaussians."""
    table = np.column_stack([np.zeros(6), *weights]).astype(np.float32)
    return table, MaskProposal(0, np.zeros((2, 2), np.int32), np.array(scores, np.float32), "test", names)


def test_votes_are_weighted_by_scores() -> None:
    votes = NameVotes()
    votes.add(IDS, *view([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 0]], ("kettle", "clock"), [0.9, 0.5]))
    votes.add(IDS, *view([[1, 1, 1, 0, 0, 0]], ("pot",), [0.3]))
    names, shares = zip(*votes.of(4), strict=True)
    assert names == ("kettle", "pot") and shares == pytest.approx((0.75, 0.25))
    assert votes.of(9) == (("clock", 1.0),) and votes.of(5) == ()


def test_a_proposal_names_an_instance_only_if_that_covers_most_of_it() -> None:
    votes = NameVotes()
    votes.add(IDS, *view([[1, 0, 0, 1, 0, 3]], ("table",), [0.9]))
    assert votes.of(4) == votes.of(9) == ()


def test_proposals_without_names_or_instances_do_not_vote() -> None:
    votes = NameVotes()
    votes.add(IDS, *view([[1, 1, 1, 0, 0, 0]], (), [0.9]))
    votes.add(IDS, *view([[1, 1, 1, 0, 0, 0]], ("",), [0.9]))
    votes.add(np.full(6, -1), *view([[1, 1, 1, 0, 0, 0]], ("kettle",), [0.9]))
    assert votes.of(4) == ()
