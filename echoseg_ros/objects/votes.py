"""Votes of views on Gaussians: a table with a few candidates per Gaussian, fast and bounded."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

# Candidates kept per Gaussian; a fifth one replaces the weakest if it is stronger.
_SLOTS = 4
# A Gaussian that no view showed better than this (as a share of a full vote) belongs to nothing: it is hidden.
_MIN_CLARITY = 0.3
# Judgements remembered per Gaussian: beyond it old ones fade, so that near views can correct many far ones.
_MEMORY = 10.0
# An object of which views see less than this, where they look at its inside, was a mistake or has gone.
_LEAST_USUAL = 0.45
_NONE = -1


class VoteTable:
    """For each Gaussian, how much of it was judged over all views, and which tracks those judgements went to.

    uids: [N] int64 strictly increasing; judged: [N] float32; clarity: [N] float32, the best view's say;
    tracks: [N, 4] int32 column of the track, -1 = free;
    votes: [N, 4] float32.
    """

    def __init__(self) -> None:
        self.uids: NDArray[np.int64] = np.zeros(0, np.int64)
        self.judged: NDArray[np.float32] = np.zeros(0, np.float32)
        self.clarity: NDArray[np.float32] = np.zeros(0, np.float32)
        self._tracks: NDArray[np.int32] = np.zeros((0, _SLOTS), np.int32)
        self._votes: NDArray[np.float32] = np.zeros((0, _SLOTS), np.float32)

    def align(self, uids: NDArray[np.int64]) -> None:
        """Bring the rows into the order of `uids`: new Gaussians start without votes, pruned ones take theirs along."""
        if np.array_equal(uids, self.uids):
            return
        known, index = locate(self.uids, uids)
        fresh = VoteTable()
        fresh.uids = np.array(uids, np.int64)
        fresh.judged, fresh.clarity = np.zeros(len(uids), np.float32), np.zeros(len(uids), np.float32)
        fresh._tracks = np.full((len(uids), _SLOTS), _NONE, np.int32)
        fresh._votes = np.zeros((len(uids), _SLOTS), np.float32)
        fresh.judged[known], fresh.clarity[known] = self.judged[index[known]], self.clarity[index[known]]
        fresh._tracks[known] = self._tracks[index[known]]
        fresh._votes[known] = self._votes[index[known]]
        self.__dict__.update(fresh.__dict__)

    def overlap(self, share: NDArray[np.float32], tracks: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """How a view's shares [N, K + 1] meet the tracks, as sums over Gaussians, weighted by membership in [0, 1].

        Membership here is a track's share of the votes for any track, lowered where fewer of the judgements said "object"
        than is usual in this track: the table around a cup gets a little of the cup's votes in every view and would
        outweigh the cup, while an object that many early views missed altogether is still recognised.

        Returns shared [tracks, K], visible [tracks] (all judged shares of a track's members) and whole [tracks] (all
        its members, seen or not).
        """
        shared = np.zeros((tracks, share.shape[1]))
        whole = np.zeros(tracks)
        usual = np.zeros(tracks)
        _usual_objectness(self.judged, self._tracks, self._votes, usual)
        _overlap(share, self.judged, self._tracks, self._votes, usual, shared, whole)
        return shared[:, 1:], shared.sum(axis=1), whole

    def add(
        self,
        share: NDArray[np.float32],
        targets: NDArray[np.int32],
        trust: NDArray[np.float32],
        stays: NDArray[np.bool_] | None = None,
    ) -> None:
        """Add a view.

        share: [N, K + 1]; targets: [K] track of each proposal, -1 = none; trust: [K] worth of a vote; stays: [tracks, K]
        whether what belongs to a track votes for that track in a proposal, not for the proposal's.
        """
        self.clarity = np.maximum(self.clarity, share.sum(axis=1))
        if stays is None or not stays.any():
            owner, stays = np.full(len(self.uids), _NONE, np.int32), np.zeros((0, len(targets)), bool)
        else:
            owner, _ = self.owners()
        _add(share, targets, trust, owner, stays, self.judged, self._tracks, self._votes)

    def fade(self, worth: float) -> None:
        """From now on all that was judged counts only so much."""
        self.judged *= np.float32(worth)
        self._votes *= np.float32(worth)

    def give(self, rows: NDArray[np.intp], old: int, new: int) -> None:
        """The votes of the Gaussians in `rows` for the track `old` become votes for `new`, which has none there."""
        tracks = self._tracks[rows]
        self._tracks[rows] = np.where(tracks == old, np.int32(new), tracks)

    def share_of(self, track: int, usual: NDArray[np.float64]) -> NDArray[np.float32]:
        """[N] the track's share of each Gaussian's judgements, 1 = as much as is usual in it (`usual`, by track)."""
        return np.asarray(_share_of(track, self.judged, self._tracks, self._votes, usual[track]))

    def usual(self) -> NDArray[np.float64]:
        """[tracks] share of the judgements that usually say "object" within each track."""
        usual = np.zeros(int(self._tracks.max(initial=_NONE)) + 1)
        _usual_share(self.judged, self._tracks, self._votes, usual)
        return usual

    def rename(self, new: NDArray[np.int32]) -> None:
        """Give tracks other columns: track t becomes new[t], -1 deletes it; equal ones are joined."""
        _rename(np.append(new, _NONE).astype(np.int32), self._tracks, self._votes)

    def owners(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """[N] the track each Gaussian belongs to, -1 for none, and [N] the share of its judgements that went there.

        The most voted track has a Gaussian if more than half of what was judged said so; of an object that views
        overlook now and then, half of what is usual within it, unless that is so little that nothing is there.
        """
        owner = np.full(len(self.uids), _NONE, np.int32)
        membership = np.zeros(len(self.uids), np.float32)
        _owners(self.judged, self._tracks, self._votes, self.usual(), owner, membership)
        return np.where(self.clarity >= _MIN_CLARITY, owner, np.int32(_NONE)), membership


def locate(known_uids: NDArray[np.int64], uids: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Which of `uids` are known [N] bool, and where in `known_uids` [N] (valid where known); both increase strictly."""
    if len(known_uids) == 0:
        return np.zeros(len(uids), bool), np.zeros(len(uids), np.intp)
    index = np.minimum(np.searchsorted(known_uids, uids), len(known_uids) - 1)
    return known_uids[index] == uids, index


@numba.njit(cache=True, nogil=True)
def _objectness(judged: float, votes: np.ndarray) -> float:
    """1 where at least half of what was judged of a Gaussian said "object", less in proportion."""
    return min(1.0, votes.sum() / max(0.5 * judged, 1e-6))


@numba.njit(cache=True, nogil=True)
def _usual_objectness(judged: np.ndarray, tracks: np.ndarray, votes: np.ndarray, usual: np.ndarray) -> None:
    """Mean objectness of each track's members, weighted by their objectness, so that its fringe counts little."""
    weight = np.zeros(len(usual))
    for g in range(tracks.shape[0]):
        total = votes[g].sum()
        if total <= 0:
            continue
        objectness = _objectness(judged[g], votes[g])
        for slot in range(tracks.shape[1]):
            if tracks[g, slot] >= 0:
                part = votes[g, slot] / total * objectness
                usual[tracks[g, slot]] += part * objectness
                weight[tracks[g, slot]] += part
    for track in range(len(usual)):
        usual[track] = usual[track] / weight[track] if weight[track] > 0 else 1.0


@numba.njit(cache=True, nogil=True)
def _overlap(
    share: np.ndarray, judged: np.ndarray, tracks: np.ndarray, votes: np.ndarray, usual: np.ndarray,
    shared: np.ndarray, whole: np.ndarray,
) -> None:  # fmt: skip
    for g in range(share.shape[0]):
        total = votes[g].sum()
        if total <= 0:
            continue
        objectness = _objectness(judged[g], votes[g])
        for slot in range(tracks.shape[1]):
            track = tracks[g, slot]
            if track < 0:
                continue
            member = votes[g, slot] / total * min(1.0, objectness / usual[track])
            whole[track] += member
            for k in range(share.shape[1]):
                if share[g, k] > 0:
                    shared[track, k] += member * share[g, k]


@numba.njit(cache=True, nogil=True)
def _add(
    share: np.ndarray, targets: np.ndarray, trust: np.ndarray, owner: np.ndarray, stays: np.ndarray, judged: np.ndarray,
    tracks: np.ndarray, votes: np.ndarray,
) -> None:  # fmt: skip
    for g in range(share.shape[0]):
        if judged[g] > _MEMORY:
            votes[g] *= _MEMORY / judged[g]
            judged[g] = _MEMORY
        judged[g] += share[g, 0]
        for k in range(len(targets)):
            vote = share[g, k + 1] * trust[k]
            if vote > 0 and targets[k] >= 0:
                judged[g] += vote
                target = owner[g] if owner[g] >= 0 and stays[owner[g], k] else targets[k]
                _put(tracks[g], votes[g], target, vote)


@numba.njit(cache=True, nogil=True)
def _put(tracks: np.ndarray, votes: np.ndarray, track: int, vote: float) -> None:
    """Add a vote to a Gaussian's candidates; the weakest one makes room for a stronger."""
    weakest = 0
    for slot in range(len(tracks)):
        if tracks[slot] == track:
            votes[slot] += vote
            return
        if votes[slot] < votes[weakest]:
            weakest = slot
    if vote > votes[weakest]:
        tracks[weakest] = track
        votes[weakest] = vote


@numba.njit(cache=True, nogil=True)
def _rename(new: np.ndarray, tracks: np.ndarray, votes: np.ndarray) -> None:
    for g in range(tracks.shape[0]):
        for slot in range(tracks.shape[1]):
            track = new[tracks[g, slot]]  # free slots hold -1 and find -1 at the end
            vote = votes[g, slot]
            tracks[g, slot] = -1
            votes[g, slot] = 0
            if track < 0:
                continue
            for other in range(slot + 1):
                if tracks[g, other] == track or tracks[g, other] < 0:
                    tracks[g, other] = track
                    votes[g, other] += vote
                    break


@numba.njit(cache=True, nogil=True)
def _usual_share(judged: np.ndarray, tracks: np.ndarray, votes: np.ndarray, usual: np.ndarray) -> None:
    """Mean share of the judgements that said "object" where a track has most, weighted by its square: of its inside.

    1 where it is less than _LEAST_USUAL.
    """
    weight = np.zeros(len(usual))
    for g in range(tracks.shape[0]):
        best = 0
        for slot in range(tracks.shape[1]):
            if votes[g, slot] > votes[g, best]:
                best = slot
        track = tracks[g, best]
        if track >= 0:
            share = min(votes[g].sum() / max(judged[g], 1e-3), 1.0)
            usual[track] += share**3
            weight[track] += share**2
    for track in range(len(usual)):
        if weight[track] > 0:
            usual[track] /= weight[track]
        if usual[track] < _LEAST_USUAL:
            usual[track] = 1.0


@numba.njit(cache=True, nogil=True)
def _owners(
    judged: np.ndarray, tracks: np.ndarray, votes: np.ndarray, usual: np.ndarray, owner: np.ndarray,
    membership: np.ndarray,
) -> None:  # fmt: skip
    for g in range(tracks.shape[0]):
        total = 0.0
        best = 0
        for slot in range(tracks.shape[1]):
            total += votes[g, slot]
            if votes[g, slot] > votes[g, best]:
                best = slot
        if tracks[g, best] >= 0 and total > 0.5 * usual[tracks[g, best]] * max(judged[g], 1e-3):
            owner[g] = tracks[g, best]
            membership[g] = min(votes[g, best] / max(judged[g], 1e-3), 1.0)


@numba.njit(cache=True, nogil=True)
def _share_of(track: int, judged: np.ndarray, tracks: np.ndarray, votes: np.ndarray, usual: float) -> np.ndarray:
    share = np.zeros(tracks.shape[0], np.float32)
    for g in range(tracks.shape[0]):
        for slot in range(tracks.shape[1]):
            if tracks[g, slot] == track:
                share[g] = min(votes[g, slot] / max(usual * judged[g], 1e-3), 1.0)
    return share
