"""The boundary of an instance, moved to where the colours of the map change.

Where a wall has no depth of its own, all views give the same strip of it to the object in front, so votes cannot separate
them. Colours can: a Gaussian belongs to the side that its colour fits and to which its neighbours of the same colour
belong. The colour models of inside and outside are those of Boykov and Jolly, "Interactive Graph Cuts", ICCV 2001; they are
solved with soft labels as Grady, "Random Walks for Image Segmentation", PAMI 2006, on the Gaussians instead of pixels.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from echoseg_ros.objects.instance_body import rows_in_box

# Margin around an instance that is examined, as a share of its longest side ...
_MARGIN = 0.25
# ... and at least this, metres.
_MIN_MARGIN_M = 0.03
# Neighbours to which a Gaussian is connected.
_NEIGHBOURS = 8
# Scale of the distance in the weight of a connection, in median distances to the neighbours.
_REACH = 2.0
# Standard deviation of the colour difference in the weight of a connection (1 = white).
_COLOUR_SIGMA = 0.08
# Bins of the colour histogram per channel.
_BINS = 8
# Blur of the histogram, bins.
_BLUR = 0.7
# Bound on the log odds of a colour.
_MAX_LOG_ODDS = 3.0
# Weight of surely inside, or surely outside, Gaussians below which colours say nothing.
_MIN_SURE_WEIGHT = 8.0
# Log odds of its colour below which a Gaussian stays on the side of its votes.
_MIN_LOG_ODDS = 0.2
# Bound on the probability given by votes.
_MAX_VOTE_PROBABILITY = 0.98
# Judgements from which votes count in full.
_FULL_JUDGEMENTS = 2.0
# Sweeps of the Gauss-Seidel iteration.
_SWEEPS = 10


def refine_boundary(
    points_m: NDArray[np.float32],
    rgb: NDArray[np.uint8],
    member: NDArray[np.bool_],
    open_: NDArray[np.bool_],
    share: NDArray[np.float32],
    judgements: NDArray[np.float32],
) -> NDArray[np.intp]:
    """Rows of the Gaussians of an instance after its boundary was refined; few or none may be left.

    Gaussians far from most members are left out. points_m: [N, 3] centres; rgb: [N, 3]; member: [N] bool, members by
    votes; open_: [N] bool, Gaussians that it may own: members, and Gaussians of no instance; share: [N] in [0, 1], share of
    a Gaussian's judgements that went to the instance, 1 = typical share; judgements: [N] sum of judgements.
    """
    rows = _around(points_m, member)
    if len(rows) <= _NEIGHBOURS:
        return np.flatnonzero(member)
    colour = np.asarray(rgb[rows], np.float32) / np.float32(255)
    trust = np.clip(judgements[rows] / _FULL_JUDGEMENTS, 0.02, 1).astype(np.float32)
    said = np.clip(share[rows], 1 - _MAX_VOTE_PROBABILITY, _MAX_VOTE_PROBABILITY).astype(np.float32)
    by_colour = _colour_log_odds(colour, said, trust)
    own = (1 / (1 + (1 - said) / said * np.exp(-by_colour))).astype(np.float32)
    bonds = _connections(points_m[rows], colour)
    probability = own.copy()
    _settle(probability, own, trust, bonds.data, bonds.indices, bonds.indptr)
    was = member[rows]
    moved = ((probability > 0.5) != was) & (np.where(was, -by_colour, by_colour) > _MIN_LOG_ODDS)
    return np.asarray(rows[(was ^ moved) & open_[rows]])


def _around(points_m: NDArray[np.float32], member: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Rows in a box around the members; outlying members do not enlarge it."""
    low, high = np.percentile(points_m[member], (2, 98), axis=0).astype(np.float32)
    margin = max(_MARGIN * float((high - low).max()), _MIN_MARGIN_M)
    return rows_in_box(points_m, low - margin, high + margin)


def _colour_log_odds(
    colour: NDArray[np.float32], said: NDArray[np.float32], trust: NDArray[np.float32]
) -> NDArray[np.float32]:
    """[R] log odds of a Gaussian's colour: frequency among sure members over frequency among sure non-members."""
    cell = np.minimum((colour * _BINS).astype(np.int64), _BINS - 1)
    cell = (cell[:, 0] * _BINS + cell[:, 1]) * _BINS + cell[:, 2]
    is_inside, is_outside = trust * np.clip(2 * said - 1, 0, 1), trust * np.clip(1 - 2 * said, 0, 1)
    if min(is_inside.sum(), is_outside.sum()) < _MIN_SURE_WEIGHT:
        return np.zeros(len(colour), np.float32)
    inside, outside = _histogram(cell, is_inside), _histogram(cell, is_outside)
    return np.clip(np.log(inside[cell] / outside[cell]), -_MAX_LOG_ODDS, _MAX_LOG_ODDS).astype(np.float32)


def _histogram(cell: NDArray[np.int64], weight: NDArray[np.float32]) -> NDArray[np.float64]:
    """[bins^3] share of the weight in each cell; never 0, so that unseen colours say nothing."""
    count = np.bincount(cell, weight, _BINS**3).reshape(_BINS, _BINS, _BINS)
    count = ndimage.gaussian_filter(count, _BLUR).ravel() + 1e-3 * float(weight.sum()) / _BINS**1.5 + 1e-9
    return np.asarray(count / count.sum())


def _connections(points_m: NDArray[np.float32], colour: NDArray[np.float32]) -> csr_array:
    """[R, R] symmetric weights of the connections; one-sided ones would let separate Gaussians follow the rest."""
    tree = cKDTree(points_m, balanced_tree=False, compact_nodes=False)
    distance, beside = (part[:, 1:] for part in tree.query(points_m, k=_NEIGHBOURS + 1))
    reach = _REACH * np.median(distance, axis=1, keepdims=True) + 1e-9
    bond = np.exp(-((distance / reach) ** 2)).astype(np.float32)
    _weigh_by_colour(bond, beside, colour)
    starts = np.arange(0, bond.size + 1, _NEIGHBOURS)
    one_way = csr_array((bond.ravel(), beside.ravel(), starts), shape=(len(points_m), len(points_m)))
    return csr_array((one_way + one_way.T) * np.float32(0.5))


@numba.njit(cache=True, nogil=True)
def _weigh_by_colour(bond: np.ndarray, beside: np.ndarray, colour: np.ndarray) -> None:
    """Weaken connections [R, K] to neighbours of another colour."""
    for i in range(bond.shape[0]):
        for k in range(bond.shape[1]):
            j = beside[i, k]
            difference = 0.0
            for c in range(3):
                difference += (colour[i, c] - colour[j, c]) ** 2
            bond[i, k] *= np.exp(-0.5 * difference / _COLOUR_SIGMA**2)


@numba.njit(cache=True, nogil=True)
def _settle(
    soft: np.ndarray, own: np.ndarray, trust: np.ndarray, bonds: np.ndarray, beside: np.ndarray, starts: np.ndarray
) -> None:
    """Gauss-Seidel: each value [R] becomes the mean of its own and its neighbours' values, weighted by trust and connections."""
    for sweep in range(_SWEEPS):
        for step in range(soft.shape[0]):
            i = step if sweep % 2 == 0 else soft.shape[0] - 1 - step
            total, weight = trust[i] * own[i], trust[i]
            for k in range(starts[i], starts[i + 1]):
                total += bonds[k] * soft[beside[k]]
                weight += bonds[k]
            soft[i] = total / weight
