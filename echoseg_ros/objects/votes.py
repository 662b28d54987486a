"""Votes of views on Gaussians: a table with a few candidates for each Gaussian, fast and bounded."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

# Candidates kept for each Gaussian; a fifth one replaces the weakest if it is stronger.
_SLOTS = 4
# Share of a full vote that the best view must have: a Gaussian below it is hidden and belongs to no candidate.
_MIN_CLARITY = 0.3
# Judgements kept for each Gaussian: beyond them earlier ones fade, so that near views can correct many far ones.
_MEMORY = 10.0
# Typical share below which a candidate was a mistake or has gone: views that show its inside do not propose it.
_MIN_TYPICAL_SHARE = 0.45
_NONE = -1


class VoteTable:
    """For each Gaussian, the judgements of all views and the candidates that they went to.

    uids: [N] int64 strictly increasing; judgements: [N] float32 sum of judgements; clarity: [N] float32 share of a full vote in
    the best view; _candidates: [N, 4] int32 index of the candidate, -1 = free; _votes: [N, 4] float32.
    """

    def __init__(self) -> None:
        self.uids: NDArray[np.int64] = np.zeros(0, np.int64)
        self.judgements: NDArray[np.float32] = np.zeros(0, np.float32)
        self.clarity: NDArray[np.float32] = np.zeros(0, np.float32)
        self._candidates: NDArray[np.int32] = np.zeros((0, _SLOTS), np.int32)
        self._votes: NDArray[np.float32] = np.zeros((0, _SLOTS), np.float32)

    def align(self, uids: NDArray[np.int64]) -> None:
        """Bring the rows into the order of `uids`: new Gaussians start without votes, those of pruned ones are lost."""
        if np.array_equal(uids, self.uids):
            return
        known, index = find_rows(self.uids, uids)
        fresh = VoteTable()
        fresh.uids = np.array(uids, np.int64)
        fresh.judgements, fresh.clarity = np.zeros(len(uids), np.float32), np.zeros(len(uids), np.float32)
        fresh._candidates = np.full((len(uids), _SLOTS), _NONE, np.int32)
        fresh._votes = np.zeros((len(uids), _SLOTS), np.float32)
        fresh.judgements[known], fresh.clarity[known] = self.judgements[index[known]], self.clarity[index[known]]
        fresh._candidates[known] = self._candidates[index[known]]
        fresh._votes[known] = self._votes[index[known]]
        self.__dict__.update(fresh.__dict__)

    def overlap(self, share: NDArray[np.float32], candidates: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Overlap of a view's shares [N, K + 1] with the candidates: sums over Gaussians, weighted by membership in [0, 1].

        Membership is a candidate's share of all votes for candidates, lowered where fewer judgements said "object" than is
        typical of the candidate. Otherwise the table around a cup, which gets a few of the cup's votes in every view, would
        outweigh the cup; an object that many early views missed is still recognised.

        Returns shared [M, K], visible [M] (judged shares of a candidate's members) and total [M] (all its members), for M
        candidates.
        """
        shared = np.zeros((candidates, share.shape[1]))
        total = np.zeros(candidates)
        typical = np.zeros(candidates)
        _typical_objectness(self.judgements, self._candidates, self._votes, typical)
        _overlap(share, self.judgements, self._candidates, self._votes, typical, shared, total)
        return shared[:, 1:], shared.sum(axis=1), total

    def add(
        self,
        share: NDArray[np.float32],
        targets: NDArray[np.int32],
        trust: NDArray[np.float32],
        keeps: NDArray[np.bool_] | None = None,
    ) -> None:
        """Add a view.

        share: [N, K + 1]; targets: [K] candidate of each proposal, -1 = none; trust: [K] weight of a vote; keeps: [M, K]
        whether Gaussians of a candidate keep their vote for it in a proposal of another candidate.
        """
        self.clarity = np.maximum(self.clarity, share.sum(axis=1))
        if keeps is None or not keeps.any():
            owner, keeps = np.full(len(self.uids), _NONE, np.int32), np.zeros((0, len(targets)), bool)
        else:
            owner, _ = self.owners()
        _add(share, targets, trust, owner, keeps, self.judgements, self._candidates, self._votes)

    def scale(self, factor: float) -> None:
        """Multiply the weight of all judgements so far."""
        self.judgements *= np.float32(factor)
        self._votes *= np.float32(factor)

    def move_votes(self, rows: NDArray[np.intp], old: int, new: int) -> None:
        """Move the votes of the Gaussians in `rows` from candidate `old` to `new`, which has none there."""
        candidates = self._candidates[rows]
        self._candidates[rows] = np.where(candidates == old, np.int32(new), candidates)

    def relative_share(self, candidate: int, typical: NDArray[np.float64]) -> NDArray[np.float32]:
        """[N] share of a Gaussian's judgements that went to the candidate; 1 = the typical share (`typical`, by candidate)."""
        return np.asarray(_share_of(candidate, self.judgements, self._candidates, self._votes, typical[candidate]))

    def typical_shares(self) -> NDArray[np.float64]:
        """[M] typical share of judgements that say "object" within each candidate."""
        typical = np.zeros(int(self._candidates.max(initial=_NONE)) + 1)
        _typical_share(self.judgements, self._candidates, self._votes, typical)
        return typical

    def relabel(self, new: NDArray[np.int32]) -> None:
        """Give candidates other indices: i becomes new[i], -1 deletes it; equal ones are joined."""
        _relabel(np.append(new, _NONE).astype(np.int32), self._candidates, self._votes)

    def owners(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """[N] the candidate that each Gaussian belongs to, -1 for none, and [N] the share of judgements that went there.

        A Gaussian belongs to its most voted candidate if more than half of the typical share of its judgements said so.
        """
        owner = np.full(len(self.uids), _NONE, np.int32)
        membership = np.zeros(len(self.uids), np.float32)
        _owners(self.judgements, self._candidates, self._votes, self.typical_shares(), owner, membership)
        return np.where(self.clarity >= _MIN_CLARITY, owner, np.int32(_NONE)), membership


def find_rows(known_uids: NDArray[np.int64], uids: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """[N] bool which of `uids` are known, and [N] their rows in `known_uids` (valid where known); both strictly increase."""
    if len(known_uids) == 0:
        return np.zeros(len(uids), bool), np.zeros(len(uids), np.intp)
    index = np.minimum(np.searchsorted(known_uids, uids), len(known_uids) - 1)
    return known_uids[index] == uids, index


@numba.njit(cache=True, nogil=True)
def _objectness(judgements: float, votes: np.ndarray) -> float:
    """1 where at least half of a Gaussian's judgements said "object", proportionally less below."""
    objectness: float = min(1.0, votes.sum() / max(0.5 * judgements, 1e-6))
    return objectness


@numba.njit(cache=True, nogil=True)
def _typical_objectness(judgements: np.ndarray, candidates: np.ndarray, votes: np.ndarray, typical: np.ndarray) -> None:
    """Mean objectness of each candidate's members, weighted by their objectness, so that its rim counts little."""
    weight = np.zeros(len(typical))
    for g in range(candidates.shape[0]):
        total = votes[g].sum()
        if total <= 0:
            continue
        objectness = _objectness(judgements[g], votes[g])
        for slot in range(candidates.shape[1]):
            if candidates[g, slot] >= 0:
                part = votes[g, slot] / total * objectness
                typical[candidates[g, slot]] += part * objectness
                weight[candidates[g, slot]] += part
    for candidate in range(len(typical)):
        typical[candidate] = typical[candidate] / weight[candidate] if weight[candidate] > 0 else 1.0


@numba.njit(cache=True, nogil=True)
def _overlap(
    share: np.ndarray, judgements: np.ndarray, candidates: np.ndarray, votes: np.ndarray, typical: np.ndarray,
    shared: np.ndarray, whole: np.ndarray,
) -> None:  # fmt: skip
    for g in range(share.shape[0]):
        total = votes[g].sum()
        if total <= 0:
            continue
        objectness = _objectness(judgements[g], votes[g])
        for slot in range(candidates.shape[1]):
            candidate = candidates[g, slot]
            if candidate < 0:
                continue
            member = votes[g, slot] / total * min(1.0, objectness / typical[candidate])
            whole[candidate] += member
            for k in range(share.shape[1]):
                if share[g, k] > 0:
                    shared[candidate, k] += member * share[g, k]


@numba.njit(cache=True, nogil=True)
def _add(
    share: np.ndarray, targets: np.ndarray, trust: np.ndarray, owner: np.ndarray, keeps: np.ndarray, judgements: np.ndarray,
    candidates: np.ndarray, votes: np.ndarray,
) -> None:  # fmt: skip
    for g in range(share.shape[0]):
        if judgements[g] > _MEMORY:
            votes[g] *= _MEMORY / judgements[g]
            judgements[g] = _MEMORY
        judgements[g] += share[g, 0]
        for k in range(len(targets)):
            vote = share[g, k + 1] * trust[k]
            if vote > 0 and targets[k] >= 0:
                judgements[g] += vote
                target = owner[g] if owner[g] >= 0 and keeps[owner[g], k] else targets[k]
                _put(candidates[g], votes[g], target, vote)


@numba.njit(cache=True, nogil=True)
def _put(candidates: np.ndarray, votes: np.ndarray, candidate: int, vote: float) -> None:
    """Add a vote to a Gaussian's candidates; it replaces the weakest one if it is stronger."""
    weakest = 0
    for slot in range(len(candidates)):
        if candidates[slot] == candidate:
            votes[slot] += vote
            return
        if votes[slot] < votes[weakest]:
            weakest = slot
    if vote > votes[weakest]:
        candidates[weakest] = candidate
        votes[weakest] = vote


@numba.njit(cache=True, nogil=True)
def _relabel(new: np.ndarray, candidates: np.ndarray, votes: np.ndarray) -> None:
    for g in range(candidates.shape[0]):
        for slot in range(candidates.shape[1]):
            candidate = new[candidates[g, slot]]  # free slots hold -1 and find -1 at the end
            vote = votes[g, slot]
            candidates[g, slot] = -1
            votes[g, slot] = 0
            if candidate < 0:
                continue
            for other in range(slot + 1):
                if candidates[g, other] == candidate or candidates[g, other] < 0:
                    candidates[g, other] = candidate
                    votes[g, other] += vote
                    break


@numba.njit(cache=True, nogil=True)
def _typical_share(judgements: np.ndarray, candidates: np.ndarray, votes: np.ndarray, typical: np.ndarray) -> None:
    """Mean share of judgements that said "object" where a candidate has most votes, weighted by its square (its inside).

    1 where that is below _MIN_TYPICAL_SHARE.
    """
    weight = np.zeros(len(typical))
    for g in range(candidates.shape[0]):
        best = 0
        for slot in range(candidates.shape[1]):
            if votes[g, slot] > votes[g, best]:
                best = slot
        candidate = candidates[g, best]
        if candidate >= 0:
            share = min(votes[g].sum() / max(judgements[g], 1e-3), 1.0)
            typical[candidate] += share**3
            weight[candidate] += share**2
    for candidate in range(len(typical)):
        if weight[candidate] > 0:
            typical[candidate] /= weight[candidate]
        if typical[candidate] < _MIN_TYPICAL_SHARE:
            typical[candidate] = 1.0


@numba.njit(cache=True, nogil=True)
def _owners(
    judgements: np.ndarray, candidates: np.ndarray, votes: np.ndarray, typical: np.ndarray, owner: np.ndarray,
    membership: np.ndarray,
) -> None:  # fmt: skip
    for g in range(candidates.shape[0]):
        total = 0.0
        best = 0
        for slot in range(candidates.shape[1]):
            total += votes[g, slot]
            if votes[g, slot] > votes[g, best]:
                best = slot
        if candidates[g, best] >= 0 and total > 0.5 * typical[candidates[g, best]] * max(judgements[g], 1e-3):
            owner[g] = candidates[g, best]
            membership[g] = min(votes[g, best] / max(judgements[g], 1e-3), 1.0)


@numba.njit(cache=True, nogil=True)
def _share_of(
    candidate: int, judgements: np.ndarray, candidates: np.ndarray, votes: np.ndarray, typical: float
) -> np.ndarray:
    share = np.zeros(candidates.shape[0], np.float32)
    for g in range(candidates.shape[0]):
        for slot in range(candidates.shape[1]):
            if candidates[g, slot] == candidate:
                share[g] = min(votes[g, slot] / max(typical * judgements[g], 1e-3), 1.0)
    return share
