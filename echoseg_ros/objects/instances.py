"""Objects of the map: proposals of many views become instances by the Gaussians they share."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from echoseg_ros.config import InstanceConfig
from echoseg_ros.objects.boundary import redrawn
from echoseg_ros.objects.holes import holes_in
from echoseg_ros.objects.instance_body import body_box, grounded, solid_part
from echoseg_ros.objects.instance_splitting import standing_apart
from echoseg_ros.objects.votes import VoteTable, locate
from echoseg_ros.types import Instance, MaskProposal

# Blending weight (in pixels) at which a view of a Gaussian counts half. It falls off with the square below, since what
# shines through the surface in front of it would else be taken for a part of that surface.
_HALF_WEIGHT_PX = 1.0
_MIN_SHARE = 0.02
# A proposal is the same object as an instance from this overlap of the visible parts on; with several, the best fit.
_MIN_MATCH_IOU = 0.25
# A part lies inside a proposal when this much of it does.
_INSIDE = 0.6
# Weight of Gaussians (about: their number) below which nothing is said about an instance or a proposal.
_MIN_VISIBLE = 4.0
_MIN_GAUSSIANS = 8
_MIN_VIEWS = 2
# An instance seen once, or one that holds nothing, goes when it was in view this often without being proposed again.
_MAX_MISSES = 3
# New Gaussians have no votes yet: what a proposal has of them says little about whether it is a known object.
_NEW_WEIGHT = 0.3
# Two instances become one when this many views had them in one proposal, and not even two thirds as many had two (in a
# kitchen with the network's masks: pieces of one microwave 14 to 7 and 5 to 6, pairs of other things at most 5 to 5).
_MIN_TOGETHER = 2
# Worth of the votes of first looks once all views are looked at again.
_BEFORE = 0.2
# Body and box are found on a sample of about this many Gaussians.
_BODY_POINTS = 1500
# An instance is made anew when the map, or a new scale (units.MapScale), moved it by this share of its longest side, or when
# this share of it was pruned.
_CHANGED = 0.05
# Views remembered for saying why: those that said most.
_SUPPORT_VIEWS = 12
# Larger than this is furniture that came together from parts.
_MAX_SIDE_M = 1.1


@dataclass
class _Track:
    """One instance in the making.

    seen_in: stamps of the views that proposed it; support: weight by stamp of the views that said most; instance: the
    published value; stale: votes came in since.
    """

    id: int
    seen_in: set[int] = field(default_factory=set)
    misses: int = 0
    age: int = 0
    instance: Instance | None = None
    stale: bool = True
    support: dict[int, float] = field(default_factory=dict)

    @property
    def views(self) -> int:
        """How many views proposed it."""
        return len(self.seen_in)

    def remember(self, stamp_ns: int, weight: float) -> None:
        """What a view said, for (positive) or against."""
        self.support[stamp_ns] = self.support.get(stamp_ns, 0.0) + weight
        if len(self.support) > _SUPPORT_VIEWS:
            del self.support[min(self.support, key=lambda stamp: abs(self.support[stamp]))]

    def sorted_support(self) -> tuple[tuple[int, float], ...]:
        """(stamp_ns, weight) in order of time."""
        return tuple(sorted(self.support.items()))


@dataclass(frozen=True)
class _Overlap:
    """Sums over Gaussians.

    shared: [M, K]; visible, whole: [M] of the tracks in view and at all; known: [K] of the proposals, new Gaussians
    counting less; proposed: [K] of the proposals.
    """

    shared: np.ndarray
    visible: np.ndarray
    whole: np.ndarray
    known: np.ndarray
    proposed: np.ndarray


class InstanceMap:
    """Instances as votes of views on Gaussians.

    Every view says for each Gaussian it sees how much of it lies in which proposal (exact blending weights, normalised,
    so that a near view says no more than a far one). Proposals are matched with instances by the overlap of these
    weights; what stands clear of the rest of its instance becomes one of its own, and things known to be two keep what
    is theirs where a view takes them for one. A Gaussian belongs to the instance with most votes, if half of what is
    usual within it said "object" (VoteTable.owners), or if its Gaussians shut it in (holes_in); colours then say where
    exactly it ends (redrawn).
    """

    def __init__(self, config: InstanceConfig | None = None, size_error: float = 1.0) -> None:
        """size_error: how many times too large things may seem (units.NOMINAL_ERROR)."""
        self._config = config or InstanceConfig()
        self._max_side_m = _MAX_SIDE_M * size_error
        self._table = VoteTable()
        self._tracks: list[_Track] = []
        self._next_id = 0
        self._together = np.zeros((0, 0))  # [M, M] views in which two tracks lay in one proposal
        self._apart = np.zeros((0, 0))  # [M, M] views in which they were two proposals, inf: space between

    def __len__(self) -> int:
        return len(self._tracks)

    def update(self, uids: NDArray[np.int64], weights: NDArray[np.float32], proposal: MaskProposal) -> None:
        """Take in one view.

        uids: [N] strictly increasing; weights: [N, K + 1] of `lift_proposal` for the same Gaussians. Raises ValueError
        if the shapes do not fit.
        """
        if weights.shape != (len(uids), len(proposal.scores) + 1):
            raise ValueError(f"weights {weights.shape}: want [{len(uids)}, {len(proposal.scores) + 1}]")
        self._table.align(uids)
        share = _shares(weights)
        familiar = np.where(self._table.judged > 0, np.float32(1), np.float32(_NEW_WEIGHT))
        shared, visible, whole = self._table.overlap(share, len(self._tracks))
        overlap = _Overlap(shared, visible, whole, familiar @ share[:, 1:], share[:, 1:].sum(axis=0))
        targets = self._associate(overlap)
        self._remember(proposal.stamp_ns, overlap, targets)
        trust, stays = np.asarray(proposal.scores, np.float32), self._stays(overlap, targets)
        self._table.add(share, targets, trust, stays)
        for track in self._tracks:
            track.age += 1
        for column in targets[targets >= 0]:
            self._tracks[column].seen_in.add(proposal.stamp_ns)
            self._tracks[column].stale = True
        self._merge()
        self._forget()

    def begin_again(self) -> None:
        """The views will be taken in once more, better judged: what they said so far counts little from now on."""
        self._table.fade(_BEFORE)
        for track in self._tracks:
            track.misses, track.support, track.stale = 0, {}, True

    def assignment(self, uids: NDArray[np.int64]) -> NDArray[np.int32]:
        """[N] id of the confirmed instance that votes give each Gaussian to, -1 for none. uids: [N] strictly increasing."""
        owner, _ = self._table.owners()
        ids = np.array([t.id if t.views >= _MIN_VIEWS else -1 for t in self._tracks] + [-1], np.int32)
        known, index = locate(self._table.uids, uids)
        result = np.full(len(uids), -1, np.int32)
        result[known] = ids[owner[index[known]]]
        return result

    def instances(
        self, uids: NDArray[np.int64], means: NDArray[np.float32], rgb: NDArray[np.uint8]
    ) -> tuple[Instance, ...]:
        """The instances that two views or more confirm, in the order of their ids.

        uids: [N] strictly increasing; means: [N, 3] metres; rgb: [N, 3] uint8. An instance whose votes and Gaussians did
        not change since it was made keeps its box and points.
        """
        self._table.align(uids)
        points = np.asarray(means, np.float32)
        self._split(points)
        owner, membership = self._table.owners()
        usual, free = self._table.usual(), owner < 0
        for track in self._tracks:
            if track.instance is not None and not track.stale:
                known, rows = locate(uids, track.instance.uids)
                track.stale = _has_changed(track.instance, known, points[rows])
                if not track.stale:
                    free[rows[known]] = False
        for i, track in enumerate(self._tracks):
            voted = owner == i
            if track.views < _MIN_VIEWS or np.count_nonzero(voted) < _MIN_GAUSSIANS:
                track.instance = None
            elif track.stale or track.instance is None:
                whole = voted.copy()
                whole[holes_in(points, voted, free)] = True
                share = self._table.share_of(i, usual)
                members = redrawn(points, rgb, whole, whole | free, share, self._table.judged)
                track.stale = False
                if len(members) < _MIN_GAUSSIANS:
                    track.instance = None
                    continue
                free[members] = False
                agreement = float(membership[voted].mean())
                track.instance = _instance(track, members, uids, points, rgb, agreement, points[free], self._max_side_m)
            elif (support := track.sorted_support()) != track.instance.support:
                track.instance = replace(track.instance, support=support)
        found = [track.instance for track in self._tracks if track.instance is not None]
        return tuple(sorted(found, key=lambda instance: instance.id))

    def _associate(self, overlap: _Overlap) -> NDArray[np.int32]:
        """[K] the track of each proposal, -1 for those too small to count; opens tracks for what is new."""
        targets = np.full(len(overlap.proposed), -1, np.int32)
        union = overlap.visible[:, None] + overlap.known[None] - overlap.shared
        iou = overlap.shared / np.maximum(union, 1e-9)
        tracks, matched = linear_sum_assignment(-iou)
        good = iou[tracks, matched] >= _MIN_MATCH_IOU
        targets[matched[good]] = tracks[good]
        self._count(overlap, targets)
        for k in np.flatnonzero((targets < 0) & (overlap.proposed >= _MIN_VISIBLE)):
            targets[k] = self._open()
        return targets

    def _count(self, overlap: _Overlap, targets: NDArray[np.int32]) -> None:
        """Note which tracks were missed, which were seen in one proposal, and which in two."""
        clear = overlap.visible >= _MIN_VISIBLE
        expected = clear & (overlap.visible > 0.5 * overlap.whole)
        hit = np.isin(np.arange(len(self._tracks)), targets)
        for track, seen, in_view in zip(self._tracks, hit, expected, strict=True):
            track.misses = 0 if seen else track.misses + int(in_view)
        if not self._tracks or len(targets) == 0:
            return
        inside = _inside(overlap)
        home = np.where(inside.any(axis=1), inside.argmax(axis=1), -1)
        both = (home[:, None] >= 0) & (home[None] >= 0)
        same = home[:, None] == home[None]
        self._together += both & same
        self._apart += both & ~same

    def _stays(self, overlap: _Overlap, targets: NDArray[np.int32]) -> NDArray[np.bool_]:
        """[M, K] whether a track lies in a proposal that is taken for another one, although they are two things."""
        stays = np.zeros((len(self._tracks), len(targets)), bool)
        two = (self._apart >= _MIN_TOGETHER) & (self._apart >= self._together)
        inside = _inside(overlap)
        for k in np.flatnonzero(targets >= 0):
            stays[: len(inside), k] = inside[:, k] & two[: len(inside), targets[k]]
        return stays

    def _remember(self, stamp_ns: int, overlap: _Overlap, targets: NDArray[np.int32]) -> None:
        """Keep what the view says for and against each track, to explain it later."""
        for k, track in enumerate(targets):
            if track >= 0:
                self._tracks[track].remember(stamp_ns, float(overlap.proposed[k]))
        missed = np.setdiff1d(np.flatnonzero(overlap.visible >= _MIN_VISIBLE), targets)
        for track in missed:
            self._tracks[track].remember(stamp_ns, -float(overlap.visible[track]))

    def _open(self) -> int:
        """A new track; returns its column."""
        self._tracks.append(_Track(self._next_id))
        self._next_id += 1
        self._together = np.pad(self._together, (0, 1))
        self._apart = np.pad(self._apart, (0, 1))
        return len(self._tracks) - 1

    def _split(self, points_m: NDArray[np.float32]) -> None:
        """What stands apart from the rest of its track becomes a track of its own, as long as space lies between."""
        owner, _ = self._table.owners()
        for i, j in np.argwhere(np.triu(np.isinf(self._apart))).tolist():
            rows = np.flatnonzero((owner == i) | (owner == j))
            if (self._tracks[i].stale or self._tracks[j].stale) and not len(standing_apart(points_m[rows])):
                self._apart[i, j] = self._apart[j, i] = self._together[i, j]
        for i, track in enumerate(tuple(self._tracks)):
            rows = np.flatnonzero(owner == i)
            if len(self._tracks) >= self._config.max_count:
                return
            if not track.stale or track.views < _MIN_VIEWS:
                continue
            rows = rows[standing_apart(points_m[rows])]
            if len(rows) == 0:
                continue
            new = self._open()
            self._table.give(rows, i, new)
            self._tracks[new].seen_in, self._tracks[new].support = set(track.seen_in), dict(track.support)
            self._apart[i, new] = self._apart[new, i] = np.inf

    def _merge(self) -> None:
        """Join tracks that lay in one proposal more often than in two; the one seen in more views keeps its id."""
        ready = np.triu((self._together >= _MIN_TOGETHER) & (self._together > 1.5 * self._apart), 1)
        target = np.arange(len(self._tracks), dtype=np.int32)
        gone: set[int] = set()
        for a, b in np.argwhere(ready).tolist():
            if a in gone or b in gone:
                continue
            keep, lose = (a, b) if self._tracks[a].views >= self._tracks[b].views else (b, a)
            target[target == lose] = keep
            self._tracks[keep].stale = True
            self._tracks[keep].seen_in |= self._tracks[lose].seen_in
            for stamp_ns, weight in self._tracks[lose].support.items():
                self._tracks[keep].remember(stamp_ns, weight)
            gone.add(lose)
        self._remove(gone, target)

    def _forget(self) -> None:
        """Drop what is over the limit, and what was in view in vain if it was never confirmed or holds nothing.

        A track that holds nothing yet stays while it is proposed: its Gaussians may have been missed by earlier views.
        """
        owner, _ = self._table.owners()
        owned = np.bincount(owner + 1, minlength=len(self._tracks) + 1)[1:]
        gone = {
            i
            for i, track in enumerate(self._tracks)
            if track.misses >= _MAX_MISSES and (track.views < _MIN_VIEWS or owned[i] < _MIN_GAUSSIANS)
        }
        left = sorted(
            set(range(len(self._tracks))) - gone, key=lambda i: (-self._tracks[i].views, self._tracks[i].age, i)
        )
        self._remove(gone | set(left[self._config.max_count :]), np.arange(len(self._tracks), dtype=np.int32))

    def _remove(self, gone: set[int], target: NDArray[np.int32]) -> None:
        """Take tracks out; the votes of track t go to target[t], or away if that is one of `gone`."""
        if not gone:
            return
        keep = np.array([i for i in range(len(self._tracks)) if i not in gone], int)
        column = np.full(len(self._tracks), -1, np.int32)
        column[keep] = np.arange(len(keep))
        self._table.rename(column[target])
        self._tracks = [self._tracks[i] for i in keep]
        self._together = self._together[np.ix_(keep, keep)]
        self._apart = self._apart[np.ix_(keep, keep)]


def _inside(overlap: _Overlap) -> NDArray[np.bool_]:
    """[M, K] whether a track lies in a proposal; each in one at most."""
    clear = overlap.visible >= _MIN_VISIBLE
    return np.asarray(clear[:, None] & (overlap.shared > _INSIDE * overlap.visible[:, None]))


def _has_changed(instance: Instance, known: NDArray[np.bool_], points_m: NDArray[np.float32]) -> bool:
    """Whether the map has moved an instance since it was made, or taken Gaussians out of it.

    known: [n] which of its Gaussians are still there; points_m: [n, 3] where they are now, valid where known.
    """
    if np.count_nonzero(known) < (1 - _CHANGED) * len(known):
        return True
    moved_m = np.linalg.norm(points_m[known] - instance.points_map[known], axis=1)
    return float(np.median(moved_m)) > _CHANGED * float(instance.box.size_m.max())


def _shares(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """[N, K + 1] how each Gaussian's judged weight is spread over the labels; rows sum to the view's say, below 1."""
    total = weights.sum(axis=1)
    scale = total / (total**2 + _HALF_WEIGHT_PX**2)
    share = weights * scale[:, None]
    share[share < _MIN_SHARE] = 0
    return np.ascontiguousarray(share, np.float32)


def _instance(
    track: _Track,
    members: NDArray[np.intp],
    uids: np.ndarray,
    means: NDArray[np.float32],
    rgb: np.ndarray,
    agreement: float,
    free: NDArray[np.float32],
    max_side_m: float,
) -> Instance | None:
    """The published value of a track; None if its parts span more than an object does."""
    points = means[members]
    sample = points[:: 1 + len(points) // _BODY_POINTS]
    body = sample[solid_part(sample)]
    box = grounded(body_box(body), free)
    if max(box.size_m) > max_side_m:
        return None
    return Instance(
        id=track.id,
        uids=uids[members],
        points_map=points,
        rgb=np.asarray(rgb[members], np.uint8),
        position_m=body.mean(axis=0, dtype=float),
        box=box,
        views=track.views,
        confidence=agreement,
        support=track.sorted_support(),
    )
