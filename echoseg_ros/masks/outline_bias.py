"""Estimates and removes the systematic offset of the outlines of masks: all a little too large, or all too small.

Sources of masks err to one side: detectors' boxes are too large, labels drawn by hand too small. One outline does not
show the offset, but many do. Colours tell whether there is one: a correct outline separates the colours inside from
those outside best, by their Jensen-Shannon divergence. Edges in the images tell how large it is: they concentrate where
outlines should be. Errors that differ from view to view remain; the votes of the Gaussians average them out.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from echoseg_ros.types import Float64Array, FloatImage, MaskProposal, RgbImage

# Largest offset from the outline that is examined, in sides of the mask (square roots of its area).
_REACH = 0.28
# Spacing of the examined offsets, in sides of the mask.
_STEP = 0.04
# The examined offsets, in sides of the mask; positive is outside.
_OFFSETS = np.arange(-_REACH, _REACH + _STEP / 2, _STEP)
# Change of colour per pixel, CIELAB, from which an edge counts in full.
_FULL_EDGE = 15.0
# Least size of a mask that is examined, pixels.
_MIN_PX = 80
# Masks before any bias is stated.
_MIN_MASKS = 20
# Masks after which no further ones are examined.
_MAX_MASKS = 200
# Least bias that is corrected, in sides of the mask.
_MIN_BIAS = 0.03
# Outlines are biased if their colour divergence is below this share of the largest one among the examined offsets.
_MIN_DIVERGENCE_SHARE = 0.92
# An outline moves inwards by at most this share of half the local width, so that thin parts (a fan's stand) remain.
_MAX_WIDTH_SHARE = 0.35
# Clusters of colours beside one outline.
_COLOURS = 8
# k-means ends after this many iterations.
_KMEANS_CRITERIA = (cv2.TERM_CRITERIA_MAX_ITER, 6, 0.0)


class OutlineBiasEstimator:
    """Estimates and removes the common offset of the outlines of one source of masks from the edges in the images."""

    def __init__(self) -> None:
        # Sums over masks, by offset: mean edge strength, masks with pixels there, colour divergence.
        self._edge_strength = np.zeros(len(_OFFSETS))
        self._mask_counts = np.zeros(len(_OFFSETS))
        self._divergence = np.zeros(len(_OFFSETS))
        self._masks = 0

    def add(self, labels: NDArray[np.int32], rgb: RgbImage) -> None:
        """Examine the outlines of labels [H, W] (1..K; others are no masks) in their image [h, w, 3]."""
        if self._masks >= _MAX_MASKS:
            return
        small = cv2.resize(rgb, labels.shape[::-1], interpolation=cv2.INTER_AREA)
        lab = np.asarray(cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)
        edges = _edges(lab)
        for k in np.unique(labels[labels > 0]):
            mask = labels == k
            area = int(mask.sum())
            if area < _MIN_PX:
                continue
            side = float(np.sqrt(area))
            window = _window_around(mask, int(np.ceil((_REACH + 2 * _STEP) * side)))
            offset = _signed_distance(mask[window]) / side
            near = np.abs(offset) < _REACH + 2 * _STEP
            self._add_outline(offset[near], edges[window][near], lab[window][near])
            self._masks += 1

    def _add_outline(self, offset: FloatImage, edge: FloatImage, lab: FloatImage) -> None:
        """Add the pixels beside one outline: offset [P] in sides, edge strength [P], colour [P, 3] in CIELAB."""
        bins = np.rint(offset / _STEP).astype(int) + len(_OFFSETS) // 2
        known = (bins >= 0) & (bins < len(_OFFSETS))
        count = np.bincount(bins[known], minlength=len(_OFFSETS))
        self._edge_strength += np.bincount(bins[known], edge[known], minlength=len(_OFFSETS)) / np.maximum(count, 1)
        self._mask_counts += count > 0
        colour = np.zeros((len(lab), 1), np.int32)
        cv2.setRNGSeed(0)
        cv2.kmeans(lab, _COLOURS, colour, _KMEANS_CRITERIA, 1, cv2.KMEANS_PP_CENTERS)
        self._divergence += [_jensen_shannon(colour[:, 0], offset < at) for at in _OFFSETS]

    @property
    def bias(self) -> float:
        """Offset of the outlines outwards from the edges, in sides of the masks; 0 while it is unknown or small."""
        if (
            self._masks < _MIN_MASKS
            or self._divergence[len(_OFFSETS) // 2] > _MIN_DIVERGENCE_SHARE * self._divergence.max()
        ):
            return 0.0
        profile = np.convolve(self._edge_strength / np.maximum(self._mask_counts, 1), [0.25, 0.5, 0.25], mode="same")[
            1:-1
        ]
        best = _climb_to_peak(profile, len(profile) // 2)
        before, here, after = profile[best - 1 : best + 2]
        vertex = 0.5 * (before - after) / min(before - 2 * here + after, -1e-9)
        bias = -float(_OFFSETS[1 + best] + _STEP * np.clip(vertex, -0.5, 0.5))
        return bias if abs(bias) >= _MIN_BIAS else 0.0

    def corrected(self, proposal: MaskProposal) -> MaskProposal:
        """The proposal with its outlines moved by the bias; the proposal itself without bias."""
        bias = self.bias
        if not bias:
            return proposal
        labels = np.where(proposal.labels > 0, 0, proposal.labels) if bias > 0 else proposal.labels.copy()
        for k in np.unique(proposal.labels[proposal.labels > 0]):
            mask = proposal.labels == k
            reach_px = bias * float(np.sqrt(mask.sum()))
            window = _window_around(mask, int(np.ceil(max(-reach_px, 0.0))) + 1)
            distance_px = _signed_distance(mask[window])
            inwards = (
                np.minimum(reach_px, _MAX_WIDTH_SHARE * _half_width(distance_px, 2 * reach_px))
                if bias > 0
                else reach_px
            )
            labels[window][(distance_px < -inwards) & (labels[window] == 0)] = k
        return replace(proposal, labels=labels)


def _half_width(distance_px: FloatImage, reach_px: float) -> FloatImage:
    """[H, W] half the local width of a mask: the largest distance inside the outline within the reach of a pixel."""
    size = 2 * int(np.ceil(reach_px)) + 1
    inside = np.maximum(-distance_px, 0).astype(np.float32)
    return np.asarray(cv2.dilate(inside, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))), np.float32)


def _climb_to_peak(profile: Float64Array, start: int) -> int:
    """The local maximum uphill from a start; a print on an object makes further maxima inside its outline."""
    best = start
    while True:
        neighbours = range(max(best - 1, 1), min(best + 2, len(profile) - 1))
        higher = max(neighbours, key=lambda k: float(profile[k]))
        if profile[higher] <= profile[best]:
            return best
        best = higher


def _jensen_shannon(colour: NDArray[np.int32], inside: NDArray[np.bool_]) -> float:
    """Jensen-Shannon divergence, nats, of the colours [P], numbers of clusters, inside and outside an outline."""
    p, q = (np.bincount(colour[side], minlength=_COLOURS) + 0.5 for side in (inside, ~inside))
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2
    return float(p @ np.log(p / middle) + q @ np.log(q / middle)) / 2


def _edges(lab: FloatImage) -> FloatImage:
    """[H, W] strength in [0, 1] of the change of colour [H, W, 3] at each pixel."""
    x, y = (cv2.Sobel(lab, cv2.CV_32F, *axis, ksize=3) / 8 for axis in ((1, 0), (0, 1)))
    strength: FloatImage = np.minimum(np.sqrt(np.square(x).sum(axis=2) + np.square(y).sum(axis=2)) / _FULL_EDGE, 1)
    return strength


def _window_around(mask: NDArray[np.bool_], margin_px: int) -> tuple[slice, slice]:
    """The rows and columns of a mask with a margin."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (
        slice(max(rows[0] - margin_px, 0), rows[-1] + margin_px + 1),
        slice(max(columns[0] - margin_px, 0), columns[-1] + margin_px + 1),
    )


def _signed_distance(mask: NDArray[np.bool_]) -> FloatImage:
    """[H, W] distance of each pixel's centre from the outline, negative inside; the image's border is no outline."""
    inside, outside = (
        cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for side in (mask, ~mask)
    )
    return np.where(mask, 0.5 - inside, outside - 0.5).astype(np.float32)
