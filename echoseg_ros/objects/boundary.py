"""Where an instance ends: its edge is moved to where the map's colours change.

Views from which a flat wall has no depth of its own give it to the thing before it, all of them the same strip, so that
votes cannot tell. Colours can: a Gaussian belongs to what it looks like and to what its neighbours of its own colour belong
to. The colour models of inside and outside are those of Boykov and Jolly, "Interactive Graph Cuts", ICCV 2001; they are
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

# Around an instance so much is looked at, as a share of its longest side, and at least so much.
_MARGIN, _LEAST_MARGIN_M = 0.25, 0.03
# Gaussians are joined to so many neighbours, each with as much say as its own votes at most: the more the nearer (in units of
# the usual distance, twice) and the more alike in colour (1 = white).
_NEIGHBOURS, _REACH, _ALIKE = 8, 2.0, 0.08
# Colours are counted in so many bins a channel, blurred by so much of one, and say at most so much (log odds).
_BINS, _BLUR, _MOST_LOG_ODDS = 8, 0.7, 3.0
# Less than so many surely inside, or outside, say nothing of the colours there.
_LEAST_SEEN = 8.0
# What a Gaussian's colour does not speak for stays as the votes have it.
_LEAST_LOG_ODDS = 0.2
# Votes say at most so much, and count in full from so many judgements on.
_SURE, _FULL_JUDGEMENTS = 0.98, 2.0
_SWEEPS = 10


def refine_boundary(
    points_m: NDArray[np.float32],
    rgb: NDArray[np.uint8],
    member: NDArray[np.bool_],
    open_: NDArray[np.bool_],
    share: NDArray[np.float32],
    judged: NDArray[np.float32],
) -> NDArray[np.intp]:
    """Rows of the Gaussians that belong to an instance, given those that votes make its members; few or none may be left.

    What lies far from most of its members is left out.

    points_m: [N, 3] centres; rgb: [N, 3]; member: [N] the instance's by votes; open_: [N] those that it may have, its own
    and such that belong to none; share: [N] of what views judged of a Gaussian, as much as said it is the instance's, in
    [0, 1] where 1 is usual in it; judged: [N] how often that was.
    """
    rows = _around(points_m, member)
    if len(rows) <= _NEIGHBOURS:
        return np.flatnonzero(member)
    colour = np.asarray(rgb[rows], np.float32) / np.float32(255)
    trust = np.clip(judged[rows] / _FULL_JUDGEMENTS, 0.02, 1).astype(np.float32)
    said = np.clip(share[rows], 1 - _SURE, _SURE).astype(np.float32)
    by_colour = _colour_log_odds(colour, said, trust)
    own = (1 / (1 + (1 - said) / said * np.exp(-by_colour))).astype(np.float32)
    bonds = _bonds(points_m[rows], colour)
    soft = own.copy()
    _settle(soft, own, trust, bonds.data, bonds.indices, bonds.indptr)
    was = member[rows]
    moved = ((soft > 0.5) != was) & (np.where(was, -by_colour, by_colour) > _LEAST_LOG_ODDS)
    return np.asarray(rows[(was ^ moved) & open_[rows]])


def _around(points_m: NDArray[np.float32], member: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Rows of what lies in a box around the members; a few that lie apart do not make it larger."""
    low, high = np.percentile(points_m[member], (2, 98), axis=0).astype(np.float32)
    margin = max(_MARGIN * float((high - low).max()), _LEAST_MARGIN_M)
    return rows_in_box(points_m, low - margin, high + margin)


def _colour_log_odds(
    colour: NDArray[np.float32], said: NDArray[np.float32], trust: NDArray[np.float32]
) -> NDArray[np.float32]:
    """[R] how much more usual a Gaussian's colour is among those that surely belong than among those that surely do not."""
    cell = np.minimum((colour * _BINS).astype(np.int64), _BINS - 1)
    cell = (cell[:, 0] * _BINS + cell[:, 1]) * _BINS + cell[:, 2]
    is_inside, is_outside = trust * np.clip(2 * said - 1, 0, 1), trust * np.clip(1 - 2 * said, 0, 1)
    if min(is_inside.sum(), is_outside.sum()) < _LEAST_SEEN:
        return np.zeros(len(colour), np.float32)
    inside, outside = _histogram(cell, is_inside), _histogram(cell, is_outside)
    return np.clip(np.log(inside[cell] / outside[cell]), -_MOST_LOG_ODDS, _MOST_LOG_ODDS).astype(np.float32)


def _histogram(cell: NDArray[np.int64], weight: NDArray[np.float32]) -> NDArray[np.float64]:
    """[bins^3] share of the weight in each cell; never 0, so that colours that are nowhere say nothing."""
    count = np.bincount(cell, weight, _BINS**3).reshape(_BINS, _BINS, _BINS)
    count = ndimage.gaussian_filter(count, _BLUR).ravel() + 1e-3 * float(weight.sum()) / _BINS**1.5 + 1e-9
    return np.asarray(count / count.sum())


def _bonds(points_m: NDArray[np.float32], colour: NDArray[np.float32]) -> csr_array:
    """[R, R] how firmly each two Gaussians hold together, the same both ways: else what lies apart would follow the rest."""
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
    """Make bonds [R, K] with neighbours of another colour weak."""
    for i in range(bond.shape[0]):
        for k in range(bond.shape[1]):
            j = beside[i, k]
            apart = 0.0
            for c in range(3):
                apart += (colour[i, c] - colour[j, c]) ** 2
            bond[i, k] *= np.exp(-0.5 * apart / _ALIKE**2)


@numba.njit(cache=True, nogil=True)
def _settle(
    soft: np.ndarray, own: np.ndarray, trust: np.ndarray, bonds: np.ndarray, beside: np.ndarray, starts: np.ndarray
) -> None:
    """Gauss-Seidel: each value [R] becomes the mean of its own and of its neighbours', weighted by trust and bonds."""
    for sweep in range(_SWEEPS):
        for step in range(soft.shape[0]):
            i = step if sweep % 2 == 0 else soft.shape[0] - 1 - step
            total, weight = trust[i] * own[i], trust[i]
            for k in range(starts[i], starts[i + 1]):
                total += bonds[k] * soft[beside[k]]
                weight += bonds[k]
            soft[i] = total / weight
