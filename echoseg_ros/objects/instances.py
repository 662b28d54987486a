"""The instance map: proposals of many views become instances by the Gaussians they share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from echoseg_ros.config import InstanceConfig
from echoseg_ros.objects.boundary import refine_boundary
from echoseg_ros.objects.holes import hole_rows
from echoseg_ros.objects.instance_building import build_instance, has_changed
from echoseg_ros.objects.instance_candidate import InstanceCandidate
from echoseg_ros.objects.instance_splitting import separate_part
from echoseg_ros.objects.view_overlap import MIN_VISIBLE, ViewOverlap, label_shares
from echoseg_ros.objects.votes import VoteTable, find_rows
from echoseg_ros.types import Float32Array, Instance, MaskProposal

# Intersection over union of the visible parts from which a proposal matches a candidate; the best match wins.
_MIN_MATCH_IOU = 0.25
# Gaussians from which an instance is published.
_MIN_GAUSSIANS = 8
# Views that confirm an instance.
_MIN_VIEWS = 2
# A candidate that is unconfirmed or holds no Gaussians is dropped after this many misses in a row.
_MAX_MISSES = 3
# Weight of Gaussians without votes in the size of a proposal: being new, they do not tell whether its object is known.
_NEW_WEIGHT = 0.3
# Views that must have seen two candidates in one proposal before they are merged.
_MIN_JOINED_VIEWS = 2
# Merging also needs this many times as many joined views as separate ones.
_MERGE_RATIO = 1.5
# Weight of earlier votes once all views are proposed again.
_REPEAT_WORTH = 0.2
# Longest side of an instance, metres: larger ones are furniture put together from parts.
_MAX_SIDE_M = 1.1


class InstanceMap:
    """Instances as votes of views on Gaussians.

    A view votes for each visible Gaussian by its share in each proposal (exact blending weights, normalised, so that a near
    view counts no more than a far one). Proposals are matched with candidates by the overlap of these shares. Candidates
    that views join more often than they separate are merged; a part that is spatially separated is split off; separate
    candidates keep their votes in a view that joins them. A Gaussian belongs to the candidate with most votes, if at least
    half of the typical share of judgements there said "object" (VoteTable.owners), or if it lies in a hole (hole_rows); the
    boundary is then refined by colour (refine_boundary).
    """

    def __init__(self, config: InstanceConfig | None = None, size_error: float = 1.0) -> None:
        """size_error: factor by which sizes may be overestimated (units.NOMINAL_ERROR)."""
        self._config = config or InstanceConfig()
        self._max_side_m = _MAX_SIDE_M * size_error
        self._table = VoteTable()
        self._candidates: list[InstanceCandidate] = []
        self._next_id = 0
        self._joined_views = np.zeros((0, 0))  # [M, M] views in which two candidates lay in one proposal
        self._separate_views = np.zeros((0, 0))  # [M, M] views in which they lay in two; inf: spatially separated

    def __len__(self) -> int:
        return len(self._candidates)

    def update(self, uids: NDArray[np.int64], weights: NDArray[np.float32], proposal: MaskProposal) -> None:
        """Add the votes of one view.

        uids: [N] strictly increasing; weights: [N, K + 1] of `lift_proposal` for the same Gaussians. Raises ValueError
        if the shapes do not fit.
        """
        if weights.shape != (len(uids), len(proposal.scores) + 1):
            raise ValueError(f"weights {weights.shape}: want [{len(uids)}, {len(proposal.scores) + 1}]")
        self._table.align(uids)
        share = label_shares(weights)
        known_weight = np.where(self._table.judgements > 0, np.float32(1), np.float32(_NEW_WEIGHT))
        shared, visible, total = self._table.overlap(share, len(self._candidates))
        overlap = ViewOverlap(shared, visible, total, known_weight @ share[:, 1:], share[:, 1:].sum(axis=0))
        targets = self._associate(overlap)
        self._add_support(proposal.stamp_ns, overlap, targets)
        trust, keeps = np.asarray(proposal.scores, np.float32), self._keeps_votes(overlap, targets)
        self._table.add(share, targets, trust, keeps)
        for candidate in self._candidates:
            candidate.age += 1
        for i in targets[targets >= 0]:
            self._candidates[i].seen_in.add(proposal.stamp_ns)
            self._candidates[i].stale = True
        self._merge()
        self._forget()

    def prepare_repeat(self) -> None:
        """Lower the weight of all votes: every view is about to vote again, on a better map."""
        self._table.scale(_REPEAT_WORTH)
        for candidate in self._candidates:
            candidate.misses, candidate.support, candidate.stale = 0, {}, True

    def assignment(self, uids: NDArray[np.int64]) -> NDArray[np.int32]:
        """[N] id of the confirmed instance that votes give each Gaussian to, -1 for none. uids: [N] strictly increasing."""
        owner, _ = self._table.owners()
        ids = np.array([c.id if c.views >= _MIN_VIEWS else -1 for c in self._candidates] + [-1], np.int32)
        known, index = find_rows(self._table.uids, uids)
        result = np.full(len(uids), -1, np.int32)
        result[known] = ids[owner[index[known]]]
        return result

    def refresh(self, uids: NDArray[np.int64], means: Float32Array, rgb: NDArray[np.uint8]) -> None:
        """Bring `instances` up to the votes and the map as they are now: splits candidates, builds what has changed.

        uids: [N] strictly increasing; means: [N, 3] metres; rgb: [N, 3] uint8. An instance whose votes and Gaussians did
        not change since it was built keeps its box and points.
        """
        self._table.align(uids)
        points = np.asarray(means, np.float32)
        self._split(points)
        owner, membership = self._table.owners()
        typical, free = self._table.typical_shares(), owner < 0
        self._mark_changed(uids, points, free)
        for i, candidate in enumerate(self._candidates):
            voted = owner == i
            if candidate.views < _MIN_VIEWS or np.count_nonzero(voted) < _MIN_GAUSSIANS:
                candidate.instance = None
            elif candidate.stale or candidate.instance is None:
                share = self._table.relative_share(i, typical)
                members = self._members(points, rgb, voted, free, share)
                candidate.stale = False
                if len(members) < _MIN_GAUSSIANS:
                    candidate.instance = None
                    continue
                free[members] = False
                agreement = float(membership[voted].mean())
                candidate.instance = build_instance(
                    candidate, members, uids, points, rgb, agreement, points[free], self._max_side_m
                )
            elif (support := candidate.sorted_support()) != candidate.instance.support:
                candidate.instance = replace(candidate.instance, support=support)

    @property
    def instances(self) -> tuple[Instance, ...]:
        """The instances that two views or more confirm, as of the last `refresh`, in the order of their ids."""
        found = [candidate.instance for candidate in self._candidates if candidate.instance is not None]
        return tuple(sorted(found, key=lambda instance: instance.id))

    def _mark_changed(self, uids: NDArray[np.int64], points: Float32Array, free: NDArray[np.bool_]) -> None:
        """Mark instances that the map has changed as stale; Gaussians of the others are not free."""
        for candidate in self._candidates:
            if candidate.instance is not None and not candidate.stale:
                known, rows = find_rows(uids, candidate.instance.uids)
                candidate.stale = has_changed(candidate.instance, known, points[rows])
                if not candidate.stale:
                    free[rows[known]] = False

    def _members(
        self,
        points: Float32Array,
        rgb: NDArray[np.uint8],
        voted: NDArray[np.bool_],
        free: NDArray[np.bool_],
        share: Float32Array,
    ) -> NDArray[np.intp]:
        """Rows of an instance: those voted for it and its holes, with the boundary refined by colour."""
        filled = voted.copy()
        filled[hole_rows(points, voted, free)] = True
        return refine_boundary(points, rgb, filled, filled | free, share, self._table.judgements)

    def _associate(self, overlap: ViewOverlap) -> NDArray[np.int32]:
        """[K] index of the candidate of each proposal, -1 for a proposal too small to count; opens new candidates."""
        targets = np.full(len(overlap.proposed), -1, np.int32)
        union = overlap.visible[:, None] + overlap.known[None] - overlap.shared
        iou = overlap.shared / np.maximum(union, 1e-9)
        rows, matched = linear_sum_assignment(-iou)
        good = iou[rows, matched] >= _MIN_MATCH_IOU
        targets[matched[good]] = rows[good]
        self._count_views(overlap, targets)
        for k in np.flatnonzero((targets < 0) & (overlap.proposed >= MIN_VISIBLE)):
            targets[k] = self._open()
        return targets

    def _count_views(self, overlap: ViewOverlap, targets: NDArray[np.int32]) -> None:
        """Count misses, and for each pair of candidates the views that join and that separate them."""
        expected = (overlap.visible >= MIN_VISIBLE) & (overlap.visible > 0.5 * overlap.total)
        proposed = np.isin(np.arange(len(self._candidates)), targets)
        for candidate, seen, in_view in zip(self._candidates, proposed, expected, strict=True):
            candidate.misses = 0 if seen else candidate.misses + int(in_view)
        if not self._candidates or len(targets) == 0:
            return
        inside = overlap.candidates_inside()
        within = np.where(inside.any(axis=1), inside.argmax(axis=1), -1)  # [M] the proposal that holds each candidate
        both = (within[:, None] >= 0) & (within[None] >= 0)
        same = within[:, None] == within[None]
        self._joined_views += both & same
        self._separate_views += both & ~same

    def _keeps_votes(self, overlap: ViewOverlap, targets: NDArray[np.int32]) -> NDArray[np.bool_]:
        """[M, K] whether a candidate lies in the proposal of another candidate that views usually separate from it."""
        keeps = np.zeros((len(self._candidates), len(targets)), bool)
        separate = (self._separate_views >= _MIN_JOINED_VIEWS) & (self._separate_views >= self._joined_views)
        inside = overlap.candidates_inside()
        for k in np.flatnonzero(targets >= 0):
            keeps[: len(inside), k] = inside[:, k] & separate[: len(inside), targets[k]]
        return keeps

    def _add_support(self, stamp_ns: int, overlap: ViewOverlap, targets: NDArray[np.int32]) -> None:
        """Keep the weight of the view for and against each candidate, to explain it later."""
        for k, i in enumerate(targets):
            if i >= 0:
                self._candidates[i].add_support(stamp_ns, float(overlap.proposed[k]))
        missed = np.setdiff1d(np.flatnonzero(overlap.visible >= MIN_VISIBLE), targets)
        for i in missed:
            self._candidates[i].add_support(stamp_ns, -float(overlap.visible[i]))

    def _open(self) -> int:
        """Open a new candidate; returns its index."""
        self._candidates.append(InstanceCandidate(self._next_id))
        self._next_id += 1
        self._joined_views = np.pad(self._joined_views, (0, 1))
        self._separate_views = np.pad(self._separate_views, (0, 1))
        return len(self._candidates) - 1

    def _split(self, points_m: NDArray[np.float32]) -> None:
        """Split off parts that are spatially separated; forget a separation that has closed since."""
        owner, _ = self._table.owners()
        for i, j in np.argwhere(np.triu(np.isinf(self._separate_views))).tolist():
            rows = np.flatnonzero((owner == i) | (owner == j))
            if (self._candidates[i].stale or self._candidates[j].stale) and not len(separate_part(points_m[rows])):
                self._separate_views[i, j] = self._separate_views[j, i] = self._joined_views[i, j]
        for i, candidate in enumerate(tuple(self._candidates)):
            rows = np.flatnonzero(owner == i)
            if len(self._candidates) >= self._config.max_count:
                return
            if not candidate.stale or candidate.views < _MIN_VIEWS:
                continue
            rows = rows[separate_part(points_m[rows])]
            if len(rows) == 0:
                continue
            new = self._open()
            self._table.move_votes(rows, i, new)
            self._candidates[new].seen_in, self._candidates[new].support = (
                set(candidate.seen_in),
                dict(candidate.support),
            )
            self._separate_views[i, new] = self._separate_views[new, i] = np.inf

    def _merge(self) -> None:
        """Merge candidates that views join more often than they separate; the one with more views keeps its id."""
        joined = self._joined_views
        ready = np.triu((joined >= _MIN_JOINED_VIEWS) & (joined > _MERGE_RATIO * self._separate_views), 1)
        target = np.arange(len(self._candidates), dtype=np.int32)
        gone: set[int] = set()
        for a, b in np.argwhere(ready).tolist():
            if a in gone or b in gone:
                continue
            keep, lose = (a, b) if self._candidates[a].views >= self._candidates[b].views else (b, a)
            target[target == lose] = keep
            self._candidates[keep].stale = True
            self._candidates[keep].seen_in |= self._candidates[lose].seen_in
            for stamp_ns, weight in self._candidates[lose].support.items():
                self._candidates[keep].add_support(stamp_ns, weight)
            gone.add(lose)
        self._remove(gone, target)

    def _forget(self) -> None:
        """Drop candidates beyond the limit, and missed ones that were never confirmed or hold no Gaussians.

        A candidate without Gaussians stays while it is proposed: earlier views may have missed its Gaussians.
        """
        owner, _ = self._table.owners()
        owned = np.bincount(owner + 1, minlength=len(self._candidates) + 1)[1:]
        gone = {
            i
            for i, candidate in enumerate(self._candidates)
            if candidate.misses >= _MAX_MISSES and (candidate.views < _MIN_VIEWS or owned[i] < _MIN_GAUSSIANS)
        }
        left = sorted(
            set(range(len(self._candidates))) - gone,
            key=lambda i: (-self._candidates[i].views, self._candidates[i].age, i),
        )
        self._remove(gone | set(left[self._config.max_count :]), np.arange(len(self._candidates), dtype=np.int32))

    def _remove(self, gone: set[int], target: NDArray[np.int32]) -> None:
        """Remove candidates; the votes of candidate i go to target[i], or are lost if that is one of `gone`."""
        if not gone:
            return
        keep = np.array([i for i in range(len(self._candidates)) if i not in gone], int)
        index = np.full(len(self._candidates), -1, np.int32)
        index[keep] = np.arange(len(keep))
        self._table.relabel(index[target])
        self._candidates = [self._candidates[i] for i in keep]
        self._joined_views = self._joined_views[np.ix_(keep, keep)]
        self._separate_views = self._separate_views[np.ix_(keep, keep)]
