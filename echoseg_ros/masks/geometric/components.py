"""Components of a surface outside its planes: their pixels, size, height and surroundings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from echoseg_ros.masks.connected_labels import label_components, label_spans
from echoseg_ros.masks.geometric.planes import Planes, extent_xy
from echoseg_ros.masks.surface import Surface
from echoseg_ros.types import Float64Array, FloatImage

# Least size of a component, pixels.
MIN_PX = 40
# Pixels of a component on which its size is measured, about.
_SAMPLE_PX = 800
# Longest side of an object, metres: that of a washing machine.
MAX_SIDE_M = 0.9
# Components with a longer side are cut along concave edges; smaller ones are not, because bowls and cups are concave.
# A concave edge lies between pixels at twice this distance, pixels, ...
_CONCAVE_REACH_PX = 3
# ... whose normals turn towards each other by 30 degrees: the cosine of that angle.
_CONCAVE_COSINE = 0.87
# Greatest distance, pixels, at which a pixel without component joins the one beside it.
_REGROW_PX = 3
# Difference in depth across an outline, metres: beyond it the nearer side occludes the other; within it they touch.
_CONTACT_M = 0.06
# Greatest height of the lowest visible point above the support, metres: a rim may occlude the foot.
_MAX_FOOT_M = 0.10
# Greatest vertical gap between an overhanging part (a lampshade, leaves) and the component that carries it, metres.
_MAX_GAP_M = 0.10
# Greatest horizontal distance of the part's middle beyond half of the longer side, metres.
_MAX_ASIDE_M = 0.03


Pixel = TypeVar("Pixel", bound=np.generic)


@dataclass(frozen=True)
class Component:
    """A connected piece of the surface.

    sides_m: long and short side of its footprint and its height, without the outermost 2 %; middle_m: [2] median x and
    y; low_m, high_m: heights of its lowest and highest points; border_share, occluded_share, contact_share: shares of
    its outline at the image's border, behind something nearer, and touching a support or a wall.
    """

    label: int
    size_px: int
    sides_m: tuple[float, float, float]
    middle_m: FloatImage
    low_m: float
    high_m: float
    border_share: float = 0.0
    occluded_share: float = 0.0
    contact_share: float = 0.0


def find_components(surface: Surface, planes: Planes) -> NDArray[np.int32]:
    """[H, W] labels 1..n of the components outside the planes, 0 elsewhere."""
    foreground = surface.valid & ~planes.support & ~planes.wall
    labels = _linked(foreground, ~surface.step_right, ~surface.step_down)
    too_big = _too_big(surface, labels)
    if too_big.any():
        cut_right, cut_down = _concave_edges(surface)
        pieces = _linked(too_big, ~surface.step_right & ~cut_right, ~surface.step_down & ~cut_down)
        labels = np.where(too_big, 0, labels)
        labels = np.where(pieces > 0, pieces + labels.max(), labels)
        _, numbers = np.unique(np.append(0, labels.ravel()), return_inverse=True)
        labels = numbers[1:].reshape(foreground.shape).astype(np.int32)
    return _with_adjacent_pixels(surface, foreground, labels)


def _linked(mask: NDArray[np.bool_], link_right: NDArray[np.bool_], link_down: NDArray[np.bool_]) -> NDArray[np.int32]:
    """[H, W] labels 1..n of the linked components with at least MIN_PX pixels."""
    labels, _ = label_components(mask, link_right, link_down)
    kept = np.bincount(labels.ravel()) >= MIN_PX
    kept[0] = False
    return np.where(kept, np.cumsum(kept), 0).astype(np.int32)[labels]


def _too_big(surface: Surface, labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """[H, W] pixels of the components that are longer than MAX_SIDE_M along an axis."""
    spans = label_spans(labels, surface.points, int(labels.max()))
    big = spans.max(axis=1) > MAX_SIDE_M
    big[0] = False
    return np.asarray(big[labels])


def _concave_edges(surface: Surface) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """[H, W] each: whether the surface bends inwards between a pixel and its right, and its lower, neighbour."""
    return _concave_along_rows(surface.points, surface.normals), _concave_along_rows(
        surface.points.swapaxes(0, 1), surface.normals.swapaxes(0, 1)
    ).T


def _concave_along_rows(points: FloatImage, normals: FloatImage) -> NDArray[np.bool_]:
    before, after = np.s_[:, : -2 * _CONCAVE_REACH_PX], np.s_[:, 2 * _CONCAVE_REACH_PX :]
    bent = np.einsum("ijk,ijk->ij", normals[before], normals[after]) < _CONCAVE_COSINE
    inwards = np.einsum("ijk,ijk->ij", normals[after] - normals[before], points[after] - points[before]) < 0
    return np.pad(bent & inwards, ((0, 0), (_CONCAVE_REACH_PX, _CONCAVE_REACH_PX)))


def _with_adjacent_pixels(
    surface: Surface, foreground: NDArray[np.bool_], labels: NDArray[np.int32]
) -> NDArray[np.int32]:
    """The labels; foreground pixels without a label take that of the nearest component at the same depth."""
    distance, nearest = ndimage.distance_transform_edt(labels == 0, return_indices=True)
    depth_step_m = np.abs(surface.depth_m - surface.depth_m[nearest[0], nearest[1]])
    regrown = foreground & (distance <= _REGROW_PX) & (depth_step_m < _CONTACT_M)
    return np.where(regrown, labels[nearest[0], nearest[1]], labels)


def measure_components(
    surface: Surface, planes: Planes, labels: NDArray[np.int32], earlier: Sequence[Component] = ()
) -> list[Component]:
    """The components of a label image in the order of their labels.

    earlier: components measured before; one with the same label and size in pixels is not measured again.
    """
    by_label = {component.label: component for component in earlier}
    measured = []
    for label, window in enumerate(ndimage.find_objects(labels), start=1):
        if window is not None:
            inside = labels[window] == label
            same = label in by_label and by_label[label].size_px == int(inside.sum())
            measured.append(by_label[label] if same else _measure(label, surface.points[window][inside]))
    low_m = np.zeros(int(labels.max()) + 1)
    for component in measured:
        low_m[component.label] = component.low_m
    border, occluded, contact = _outline_shares(surface, planes, labels, low_m)
    return [
        replace(
            component,
            border_share=border[component.label],
            occluded_share=occluded[component.label],
            contact_share=contact[component.label],
        )
        for component in measured
    ]


def join_overhanging_parts(
    labels: NDArray[np.int32], components: list[Component], min_contact_share: float
) -> NDArray[np.int32]:
    """The labels; parts without contact get the label of the component below them, as a lampshade that of its stem.

    Without such parts the given array itself is returned.
    """
    neighbours = _neighbours(labels)
    target: dict[int, int] = {}
    by_label = {component.label: component for component in components}
    for part in components:
        if part.contact_share >= min_contact_share:
            continue
        below = [by_label[i] for i in neighbours.get(part.label, ()) if by_label[i].contact_share >= min_contact_share]
        fitting = [foot for foot in below if _overhangs(part, foot)]
        if fitting:
            target[part.label] = min(fitting, key=lambda foot: float(np.hypot(*(foot.middle_m - part.middle_m)))).label
    if not target:
        return labels
    return np.array([target.get(i, i) for i in range(int(labels.max()) + 1)], np.int32)[labels]


def _overhangs(part: Component, foot: Component) -> bool:
    """Whether a part lies above a component, near enough to belong to it."""
    aside_m = float(np.hypot(*(part.middle_m - foot.middle_m)))
    reach_m = 0.5 * max(part.sides_m[0], foot.sides_m[0]) + _MAX_ASIDE_M
    return aside_m < reach_m and part.low_m - foot.high_m < _MAX_GAP_M and part.high_m > foot.high_m


def _measure(label: int, points: FloatImage) -> Component:
    """A component by its points [N, 3], without the shares of its outline."""
    size_px = len(points)
    points = points[:: 1 + size_px // _SAMPLE_PX]
    low, high = np.quantile(points, [0.02, 0.98], axis=0)
    kept = points[((points >= low) & (points <= high)).all(axis=1)]
    long_m, short_m = extent_xy(kept[:, :2] if len(kept) > 2 else points[:, :2])
    sides_m = (long_m, short_m, float(high[2] - low[2]))
    return Component(label, size_px, sides_m, np.median(points[:, :2], axis=0), float(low[2]), float(high[2]))


def _outline_shares(
    surface: Surface, planes: Planes, labels: NDArray[np.int32], low_m: Float64Array
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """[n + 1] each, by label: shares of the outline at the border, behind something nearer, touching support or wall."""
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


def _neighbours(labels: NDArray[np.int32]) -> dict[int, set[int]]:
    """Labels of the components that touch each component in the image, at a distance of at most two pixels."""
    found: dict[int, set[int]] = {}
    for axis in (0, 1):
        for shift in (1, 2):
            other = _shifted(labels, axis, shift, 0)
            touching = (labels > 0) & (other > 0) & (labels != other)
            for a, b in np.unique(np.column_stack([labels[touching], other[touching]]), axis=0).tolist():
                found.setdefault(a, set()).add(b)
                found.setdefault(b, set()).add(a)
    return found


def _connected_to_border(unseen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[H, W] pixels without depth that are connected to the image's border."""
    labels, _ = ndimage.label(unseen)
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return unseen & np.isin(labels, np.unique(rim[rim > 0]))


def _shifted(image: NDArray[Pixel], axis: int, shift: int, fill: float) -> NDArray[Pixel]:
    """The image in which pixel i is the given one's pixel i + shift along an axis, `fill` outside."""
    result = np.roll(image, -shift, axis=axis)
    edge = slice(-shift, None) if shift > 0 else slice(None, -shift)
    result[(edge, slice(None)) if axis == 0 else (slice(None), edge)] = fill
    return result
