"""What stands out of the planes, piece by piece: size, foot, and what lies around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from echoseg_ros.masks.connected_labels import label_linked, label_spans
from echoseg_ros.masks.geometric.planes import Planes, extent_xy
from echoseg_ros.masks.surface import Surface

MIN_PX = 40
# The size of a component is measured on a sample of about this many pixels.
_SAMPLE_PX = 800
# Objects a robot could be asked about: up to a washing machine.
MAX_SIDE_M = 0.9
# What is larger is cut once more along its concave edges: pixels this far apart whose normals turn towards each other
# by 30 degrees. Not done to smaller ones, since bowls and cups are concave too.
_CONCAVE_REACH_PX = 3
_CONCAVE_COSINE = 0.87
# Pixels that the cuts left over go to the component beside them, this far.
_REGROW_PX = 3
# A neighbour across the outline is in front when it is nearer than this, and a wall is touched within it.
_CONTACT_M = 0.06
# A component stands on a support when its lowest visible point is at most this far above: a rim may hide its foot.
_MAX_FOOT_M = 0.10
# An overhanging part (a lampshade, leaves) belongs to what is below it within this gap, this much beside its middle.
_MAX_GAP_M = 0.10
_MAX_ASIDE_M = 0.03


@dataclass(frozen=True)
class Component:
    """A piece of the surface.

    sides_m: [3] long and short side of its footprint and its height, without the outermost two per cent; middle_m: [2]
    median x and y; low_m, high_m: its lowest and highest points; border, hidden, contact: shares of its outline at the
    image's border, behind something nearer, touching what could carry it.
    """

    label: int
    size_px: int
    sides_m: tuple[float, float, float]
    middle_m: np.ndarray
    low_m: float
    high_m: float
    border: float = 0.0
    hidden: float = 0.0
    contact: float = 0.0


def find_components(surface: Surface, planes: Planes) -> np.ndarray:
    """[H, W] labels of what stands out, 0 elsewhere."""
    out = surface.valid & ~planes.support & ~planes.wall
    labels = _linked(out, ~surface.step_right, ~surface.step_down)
    too_big = _too_big(surface, labels)
    if too_big.any():
        cut_right, cut_down = _concave_edges(surface)
        pieces = _linked(too_big, ~surface.step_right & ~cut_right, ~surface.step_down & ~cut_down)
        labels = np.where(too_big, 0, labels)
        labels = np.where(pieces > 0, pieces + labels.max(), labels)
        _, labels = np.unique(np.append(0, labels.ravel()), return_inverse=True)
        labels = labels[1:].reshape(out.shape).astype(np.int32)
    return _regrown(surface, out, labels)


def _linked(mask: np.ndarray, link_right: np.ndarray, link_down: np.ndarray) -> np.ndarray:
    """[H, W] labels 1..n of the linked components that have enough pixels."""
    labels, _ = label_linked(mask, link_right, link_down)
    kept = np.bincount(labels.ravel()) >= MIN_PX
    kept[0] = False
    return np.where(kept, np.cumsum(kept), 0).astype(np.int32)[labels]


def _too_big(surface: Surface, labels: np.ndarray) -> np.ndarray:
    """[H, W] the components that span more than an object does."""
    spans = label_spans(labels, surface.points, int(labels.max()))
    big = spans.max(axis=1) > MAX_SIDE_M
    big[0] = False
    return np.asarray(big[labels])


def _concave_edges(surface: Surface) -> tuple[np.ndarray, np.ndarray]:
    """Whether the surface bends inwards between a pixel and its right, and its lower, neighbour."""
    return _concave_along_rows(surface.points, surface.normals), _concave_along_rows(
        surface.points.swapaxes(0, 1), surface.normals.swapaxes(0, 1)
    ).T


def _concave_along_rows(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    before, after = np.s_[:, : -2 * _CONCAVE_REACH_PX], np.s_[:, 2 * _CONCAVE_REACH_PX :]
    bent = np.einsum("ijk,ijk->ij", normals[before], normals[after]) < _CONCAVE_COSINE
    inwards = np.einsum("ijk,ijk->ij", normals[after] - normals[before], points[after] - points[before]) < 0
    return np.pad(bent & inwards, ((0, 0), (_CONCAVE_REACH_PX, _CONCAVE_REACH_PX)))


def _regrown(surface: Surface, out: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The labels with pixels that belong to nothing given to the component beside them, if that is as deep."""
    distance, nearest = ndimage.distance_transform_edt(labels == 0, return_indices=True)
    beside_m = np.abs(surface.depth_m - surface.depth_m[nearest[0], nearest[1]])
    regrown = out & (distance <= _REGROW_PX) & (beside_m < _CONTACT_M)
    return np.where(regrown, labels[nearest[0], nearest[1]], labels)


def measure(surface: Surface, planes: Planes, labels: np.ndarray, known: Sequence[Component] = ()) -> list[Component]:
    """The components of a label image, in the order of their labels; the size of `known` ones is taken over if it fits."""
    by_label = {component.label: component for component in known}
    boxes = []
    for label, window in enumerate(ndimage.find_objects(labels), start=1):
        if window is not None:
            inside = labels[window] == label
            same = label in by_label and by_label[label].size_px == int(inside.sum())
            boxes.append(by_label[label] if same else _measured(label, surface.points[window][inside]))
    low_m = np.zeros(int(labels.max()) + 1)
    for box in boxes:
        low_m[box.label] = box.low_m
    border, hidden, contact = _outlines(surface, planes, labels, low_m)
    return [
        replace(box, border=border[box.label], hidden=hidden[box.label], contact=contact[box.label]) for box in boxes
    ]


def join_overhanging(labels: np.ndarray, components: list[Component], min_contact: float) -> np.ndarray:
    """The label image with parts that touch nothing given to the component below them, as a lampshade to its stem.

    The image itself is returned when there is nothing to join.
    """
    beside = _neighbours(labels)
    target: dict[int, int] = {}
    by_label = {component.label: component for component in components}
    for part in components:
        if part.contact >= min_contact:
            continue
        below = [by_label[i] for i in beside.get(part.label, ()) if by_label[i].contact >= min_contact]
        fitting = [foot for foot in below if _overhangs(part, foot)]
        if fitting:
            target[part.label] = min(fitting, key=lambda foot: float(np.hypot(*(foot.middle_m - part.middle_m)))).label
    if not target:
        return labels
    return np.array([target.get(i, i) for i in range(int(labels.max()) + 1)], np.int32)[labels]


def _overhangs(part: Component, foot: Component) -> bool:
    aside_m = float(np.hypot(*(part.middle_m - foot.middle_m)))
    reach_m = 0.5 * max(part.sides_m[0], foot.sides_m[0]) + _MAX_ASIDE_M
    return aside_m < reach_m and part.low_m - foot.high_m < _MAX_GAP_M and part.high_m > foot.high_m


def _measured(label: int, points: np.ndarray) -> Component:
    size_px = len(points)
    points = points[:: 1 + size_px // _SAMPLE_PX]
    low, high = np.quantile(points, [0.02, 0.98], axis=0)
    kept = points[((points >= low) & (points <= high)).all(axis=1)]
    long_m, short_m = extent_xy(kept[:, :2] if len(kept) > 2 else points[:, :2])
    sides_m = (long_m, short_m, float(high[2] - low[2]))
    return Component(label, size_px, sides_m, np.median(points[:, :2], axis=0), float(low[2]), float(high[2]))


def _outlines(
    surface: Surface, planes: Planes, labels: np.ndarray, low_m: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares [n + 1] of each component's outline: at the border, behind something nearer, touching what carries it."""
    at_border = _connected_to_border(~surface.valid)
    count = len(low_m)
    totals = np.zeros((4, count))
    for axis, shift in ((0, 1), (0, -1), (1, 1), (1, -1)):
        edge = (labels > 0) & (_shifted(labels, axis, shift, 0) != labels)
        own = labels[edge]
        seen = _shifted(surface.valid, axis, shift, False)[edge]
        in_front_m = surface.depth_m[edge] - _shifted(surface.depth_m, axis, shift, 0)[edge]
        on_support = _shifted(planes.support, axis, shift, False)[edge] & (in_front_m < _CONTACT_M)
        on_support &= np.abs(low_m[own] - _shifted(surface.points[..., 2], axis, shift, 0)[edge]) < _MAX_FOOT_M
        on_wall = _shifted(planes.wall, axis, shift, False)[edge] & (np.abs(in_front_m) < _CONTACT_M)
        border = _shifted(at_border, axis, shift, True)[edge]
        flags = (np.ones(len(own), bool), border, seen & (in_front_m >= _CONTACT_M), seen & (on_support | on_wall))
        for row, flag in enumerate(flags):
            totals[row] += np.bincount(own[flag], minlength=count)
    outline = np.maximum(totals[0], 1)
    return totals[1] / outline, totals[2] / outline, totals[3] / outline


def _neighbours(labels: np.ndarray) -> dict[int, set[int]]:
    """Which components touch which in the image, across at most two pixels."""
    found: dict[int, set[int]] = {}
    for axis in (0, 1):
        for shift in (1, 2):
            other = _shifted(labels, axis, shift, 0)
            touching = (labels > 0) & (other > 0) & (labels != other)
            for a, b in np.unique(np.column_stack([labels[touching], other[touching]]), axis=0).tolist():
                found.setdefault(a, set()).add(b)
                found.setdefault(b, set()).add(a)
    return found


def _connected_to_border(unseen: np.ndarray) -> np.ndarray:
    """[H, W] pixels without depth that reach the image's border."""
    labels, _ = ndimage.label(unseen)
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return unseen & np.isin(labels, np.unique(rim[rim > 0]))


def _shifted(image: np.ndarray, axis: int, shift: int, fill: float) -> np.ndarray:
    """The image whose pixel i is the neighbour i + shift along an axis, `fill` outside."""
    result = np.roll(image, -shift, axis=axis)
    edge = slice(-shift, None) if shift > 0 else slice(None, -shift)
    result[(edge, slice(None)) if axis == 0 else (slice(None), edge)] = fill
    return result
