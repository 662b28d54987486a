"""How the proposals of one view overlap with the instances of the map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.types import Float32Array, Float64Array

# Blending weight (pixels) at which a view of a Gaussian counts half. The share falls with the square below: what shines
# through the surface in front would else be taken for a part of that surface.
HALF_WEIGHT_PX = 1.0
# Smallest share of a Gaussian in a proposal that counts.
MIN_SHARE = 0.02
# Share of a candidate's visible part that must lie in a proposal for the candidate to lie in it.
MIN_INSIDE_SHARE = 0.6
# Weight of visible Gaussians (about: their number) below which a view says nothing about a candidate or a proposal.
MIN_VISIBLE = 4.0


@dataclass(frozen=True)
class ViewOverlap:
    """Sums over Gaussians, for M candidates and K proposals.

    shared: [M, K] weight in both; visible, total: [M] weight of the candidate in view, and in all; known: [K] weight of
    the proposal, new Gaussians counting less; proposed: [K] weight of the proposal.
    """

    shared: Float64Array
    visible: Float64Array
    total: Float64Array
    known: NDArray[np.floating]
    proposed: NDArray[np.floating]

    def candidates_inside(self) -> NDArray[np.bool_]:
        """[M, K] whether a candidate lies in a proposal; in one at most."""
        is_visible = self.visible >= MIN_VISIBLE
        return np.asarray(is_visible[:, None] & (self.shared > MIN_INSIDE_SHARE * self.visible[:, None]))


def label_shares(weights: Float32Array) -> Float32Array:
    """[N, K + 1] distribution of each Gaussian's weight over the labels.

    The sum of a row, below 1, is the weight of the view's vote on that Gaussian.

    weights: [N, K + 1] blending weights of `lift_proposal`, label 0 = no object.
    """
    total = weights.sum(axis=1)
    scale = total / (total**2 + HALF_WEIGHT_PX**2)
    share = weights * scale[:, None]
    share[share < MIN_SHARE] = 0
    return np.ascontiguousarray(share, np.float32)
