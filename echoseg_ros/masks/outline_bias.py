"""Masks that are all a little too large or too small: how far, by the edges in the images, and the same masks without that.

Whoever makes masks tends to err to one side: a detector's box fills out, a label drawn by hand stays within. One outline
shows nothing of it, but over many masks it shows. Whether there is anything to correct is told by the colours: a right
outline parts those inside from those outside best, by their Jensen-Shannon divergence. How far it is off is told by the
edges, which gather where outlines should be. What is left, errors that differ from view to view, the votes of the
Gaussians average out.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from echoseg_ros.types import FloatImage, MaskProposal

# Offsets from the outline that are looked at, in sides of the mask (the root of its area); positive is outside.
_REACH, _STEP = 0.28, 0.04
_OFFSETS = np.arange(-_REACH, _REACH + _STEP / 2, _STEP)
# A colour that changes by so much a pixel, in units of CIELAB, is an edge in full.
_EDGE = 15.0
# Smaller masks show nothing of it; nothing is said before so many, and smaller offsets than this are none.
_LEAST_PX, _LEAST_MASKS, _LEAST_BIAS = 80, 20, 0.03
# Outlines are off if they part colours less well than this, against those so far inside or outside that part them best:
# eighteen rooms' true masks 1, the network's in eight 0.95 to 1, true ones grown by 0.13 of their side 0.47 to 0.89.
_PARTED = 0.92
# Outlines move inwards by this share of half the local width at most, or thin parts (a fan's stand) would go first.
_MOST_OF_WIDTH = 0.35
_COLOURS, _SIX_ROUNDS = 8, (cv2.TERM_CRITERIA_MAX_ITER, 6, 0.0)
# What more than this many masks say is known.
_ENOUGH_MASKS = 200


class OutlineBias:
    """What one source's masks have in common: how far their outlines lie outside the edges."""

    def __init__(self) -> None:
        self._strength = np.zeros(len(_OFFSETS))
        self._seen = np.zeros(len(_OFFSETS))
        self._parting = np.zeros(len(_OFFSETS))
        self._masks = 0

    def add(self, labels: NDArray[np.int32], rgb: NDArray[np.uint8]) -> None:
        """Look at the outlines of labels [H, W] (1..K; others are none) in their image [h, w, 3]."""
        if self._masks >= _ENOUGH_MASKS:
            return
        small = cv2.resize(rgb, labels.shape[::-1], interpolation=cv2.INTER_AREA)
        lab = np.asarray(cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)
        edges = _edges(lab)
        for k in np.unique(labels[labels > 0]):
            mask = labels == k
            area = int(mask.sum())
            if area < _LEAST_PX:
                continue
            side = float(np.sqrt(area))
            part = _around(mask, int(np.ceil((_REACH + 2 * _STEP) * side)))
            offset = _outwards(mask[part]) / side
            near = np.abs(offset) < _REACH + 2 * _STEP
            self._look(offset[near], edges[part][near], lab[part][near])
            self._masks += 1

    def _look(self, offset: FloatImage, edge: FloatImage, lab: NDArray[np.float32]) -> None:
        """Pixels [P] beside one outline."""
        bins = np.rint(offset / _STEP).astype(int) + len(_OFFSETS) // 2
        known = (bins >= 0) & (bins < len(_OFFSETS))
        count = np.bincount(bins[known], minlength=len(_OFFSETS))
        self._strength += np.bincount(bins[known], edge[known], minlength=len(_OFFSETS)) / np.maximum(count, 1)
        self._seen += count > 0
        colour = np.zeros((len(lab), 1), np.int32)
        cv2.setRNGSeed(0)
        cv2.kmeans(lab, _COLOURS, colour, _SIX_ROUNDS, 1, cv2.KMEANS_PP_CENTERS)
        self._parting += [_divergence(colour[:, 0], offset < at) for at in _OFFSETS]

    @property
    def bias(self) -> float:
        """How far outlines lie outside the edges, in sides of their masks; 0 while that cannot be told."""
        if self._masks < _LEAST_MASKS or self._parting[len(_OFFSETS) // 2] > _PARTED * self._parting.max():
            return 0.0
        profile = np.convolve(self._strength / np.maximum(self._seen, 1), [0.25, 0.5, 0.25], mode="same")[1:-1]
        best = _hill(profile, len(profile) // 2)
        before, here, after = profile[best - 1 : best + 2]
        vertex = 0.5 * (before - after) / min(before - 2 * here + after, -1e-9)
        bias = -float(_OFFSETS[1 + best] + _STEP * np.clip(vertex, -0.5, 0.5))
        return bias if abs(bias) >= _LEAST_BIAS else 0.0

    def corrected(self, proposal: MaskProposal) -> MaskProposal:
        """The proposal with its outlines moved towards where the edges usually are."""
        bias = self.bias
        if not bias:
            return proposal
        labels = np.where(proposal.labels > 0, 0, proposal.labels) if bias > 0 else proposal.labels.copy()
        for k in np.unique(proposal.labels[proposal.labels > 0]):
            mask = proposal.labels == k
            reach_px = bias * float(np.sqrt(mask.sum()))
            part = _around(mask, int(np.ceil(max(-reach_px, 0.0))) + 1)
            outwards = _outwards(mask[part])
            inwards = (
                np.minimum(reach_px, _MOST_OF_WIDTH * _half_width(outwards, 2 * reach_px)) if bias > 0 else reach_px
            )
            labels[part][(outwards < -inwards) & (labels[part] == 0)] = k
        return replace(proposal, labels=labels)


def _half_width(outwards: FloatImage, reach_px: float) -> FloatImage:
    """[H, W] the farthest that anything within the reach lies inside the outline."""
    size = 2 * int(np.ceil(reach_px)) + 1
    inside = np.maximum(-outwards, 0).astype(np.float32)
    return np.asarray(cv2.dilate(inside, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))), np.float32)


def _hill(profile: NDArray[np.floating], start: int) -> int:
    """The maximum that leads uphill from a start; what is printed on a thing has maxima of its own farther inside."""
    best = start
    while True:
        around = range(max(best - 1, 1), min(best + 2, len(profile) - 1))
        higher = max(around, key=lambda k: float(profile[k]))
        if profile[higher] <= profile[best]:
            return best
        best = higher


def _divergence(colour: NDArray[np.int32], inside: NDArray[np.bool_]) -> float:
    """How differently colours [P] are spread inside and outside (Jensen-Shannon, in nats)."""
    p, q = (np.bincount(colour[side], minlength=_COLOURS) + 0.5 for side in (inside, ~inside))
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2
    return float(p @ np.log(p / middle) + q @ np.log(q / middle)) / 2


def _edges(lab: NDArray[np.float32]) -> FloatImage:
    """[H, W] in [0, 1] how far colour [H, W, 3] changes at a pixel."""
    across, down = (cv2.Sobel(lab, cv2.CV_32F, *axis, ksize=3) / 8 for axis in ((1, 0), (0, 1)))
    return np.minimum(np.sqrt(np.square(across).sum(axis=2) + np.square(down).sum(axis=2)) / _EDGE, 1)


def _around(mask: NDArray[np.bool_], margin_px: int) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (
        slice(max(rows[0] - margin_px, 0), rows[-1] + margin_px + 1),
        slice(max(columns[0] - margin_px, 0), columns[-1] + margin_px + 1),
    )


def _outwards(mask: NDArray[np.bool_]) -> FloatImage:
    """[H, W] distance of each pixel's middle from the outline, negative inside; the image's border is no outline."""
    inside, outside = (
        cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for side in (mask, ~mask)
    )
    return np.where(mask, 0.5 - inside, outside - 0.5).astype(np.float32)
