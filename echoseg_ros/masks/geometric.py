"""Objects by geometry alone: what stands out of floors, table tops, shelves and walls. No weights, one core."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from echoseg_ros.config import MaskConfig
from echoseg_ros.errors import ImageFormatError
from echoseg_ros.masks.label import label_linked
from echoseg_ros.masks.planes import Planes, extent_xy, find_planes, pixel_areas
from echoseg_ros.masks.surface import Surface, make_surface, merge_depth
from echoseg_ros.types import CameraFrame, FloatImage, MaskProposal

# Objects a robot could be asked about: from a cup to a washing machine.
_MAX_SIDE_M = 0.9
_MIN_SIDE_M = 0.03
_MIN_THICKNESS_M = 0.015
_MIN_PX = 40
# Share of the outline at the image's border from which a component is too incomplete to be judged.
_MAX_BORDER_SHARE = 0.3
# Share of the outline that has to touch a plane: less means the component hides its foot behind something.
_MIN_CONTACT_SHARE = 0.06
# A neighbour across the outline is touched when it is closer in depth than this; else it is in front or behind.
_CONTACT_M = 0.06
# Pixels that the cuts left over go to the component beside them, this far.
_REGROW_PX = 2

UNJUDGED = -1


@dataclass(frozen=True)
class _Outline:
    """Shares of each component's outline, [n + 1]: at the border, behind something nearer, touching a plane."""

    border: np.ndarray
    hidden: np.ndarray
    contact: np.ndarray


class GeometricMasks:
    """Connected components of what stands out of the dominant planes, cut at steps of the depth."""

    def __init__(self, config: MaskConfig | None = None) -> None:
        self._config = config or MaskConfig()

    def propose(
        self,
        frame: CameraFrame,
        rendered_depth_m: FloatImage | None = None,
        rendered_alpha: FloatImage | None = None,
    ) -> MaskProposal:
        """Candidate objects at the size of the frame's camera; label -1 marks what cannot be judged from here.

        Raises ImageFormatError if a depth image does not have the camera's size.
        """
        shape = (frame.camera.height, frame.camera.width)
        for image in (frame.depth_m, rendered_depth_m, rendered_alpha):
            if image is not None and image.shape != shape:
                raise ImageFormatError(f"depth of {image.shape} for masks: want the camera's {shape}")
        depth_m = merge_depth(frame.depth_m, rendered_depth_m, rendered_alpha)
        if depth_m is None:
            return MaskProposal(frame.stamp_ns, np.full(shape, UNJUDGED, np.int32), np.zeros(0, np.float32), "geometric")
        surface = make_surface(frame.camera, depth_m, frame.T_map_camera)
        planes = find_planes(surface, pixel_areas(surface, 1 / (frame.camera.fx * frame.camera.fy)))
        components = _components(surface, planes)
        labels, scores = _judge(surface, components, _outlines(surface, planes, components))
        return MaskProposal(frame.stamp_ns, labels, scores, "geometric")


def _components(surface: Surface, planes: Planes) -> np.ndarray:
    """[H, W] labels of what stands out, 0 elsewhere."""
    out = surface.valid & ~planes.support & ~planes.wall
    labels, _ = label_linked(out, ~surface.step_right, ~surface.step_down)
    size_px = np.bincount(labels.ravel())
    labels[size_px[labels] < _MIN_PX] = 0
    distance, nearest = ndimage.distance_transform_edt(labels == 0, return_indices=True)
    grown = labels[nearest[0], nearest[1]]
    return np.where(out & (distance <= _REGROW_PX), grown, labels)


def _outlines(surface: Surface, planes: Planes, labels: np.ndarray) -> _Outline:
    unseen = ~surface.valid
    at_border = _connected_to_border(unseen)
    plane = planes.support | planes.wall
    count = int(labels.max()) + 1
    totals = np.zeros((4, count))
    for axis, shift in ((0, 1), (0, -1), (1, 1), (1, -1)):
        neighbour = _shifted(labels, axis, shift, 0)
        edge = (labels > 0) & (neighbour != labels)
        own = labels[edge]
        behind_m = surface.depth_m[edge] - _shifted(surface.depth_m, axis, shift, 0)[edge]
        seen = _shifted(surface.valid, axis, shift, False)[edge]
        border = _shifted(at_border, axis, shift, True)[edge]
        touches = seen & (np.abs(behind_m) < _CONTACT_M)
        contact = touches & _shifted(plane, axis, shift, False)[edge]
        for row, flag in enumerate((np.ones(len(own), bool), border, seen & (behind_m >= _CONTACT_M), contact)):
            totals[row] += np.bincount(own[flag], minlength=count)
    outline, border, hidden, contact = totals
    outline = np.maximum(outline, 1)
    return _Outline(border / outline, hidden / outline, contact / outline)


def _judge(surface: Surface, components: np.ndarray, outline: _Outline) -> tuple[np.ndarray, np.ndarray]:
    """Final labels [H, W] and scores [K] of the components that can be objects."""
    final = np.zeros(int(components.max()) + 1, np.int32)
    scores: list[float] = []
    for component, window in enumerate(ndimage.find_objects(components), start=1):
        if window is None:
            continue
        inside = components[window] == component
        points = surface.points[window][inside]
        if len(points) < _MIN_PX:
            continue
        long_m, short_m, height_m = _size(points)
        sides = sorted((long_m, short_m, height_m))
        if sides[2] > _MAX_SIDE_M or sides[2] < _MIN_SIDE_M or sides[1] < _MIN_THICKNESS_M:
            continue
        if outline.border[component] > _MAX_BORDER_SHARE or outline.contact[component] < _MIN_CONTACT_SHARE:
            final[component] = UNJUDGED
            continue
        scores.append(_score(len(points), outline.border[component], outline.hidden[component]))
        final[component] = len(scores)
    labels = final[components]
    labels[~surface.valid & (components == 0)] = UNJUDGED
    return labels, np.array(scores, np.float32)


def _size(points: np.ndarray) -> tuple[float, float, float]:
    """Sides of a component [N, 3] without its outermost two per cent: long, short, upright."""
    low, high = np.quantile(points, [0.02, 0.98], axis=0)
    kept = points[((points >= low) & (points <= high)).all(axis=1)]
    long_m, short_m = extent_xy(kept[:, :2] if len(kept) > 2 else points[:, :2])
    return long_m, short_m, float(high[2] - low[2])


def _score(size_px: int, border: float, hidden: float) -> float:
    """Trust in a component: large in the image, complete, in front."""
    return float(np.clip(size_px / 150, 0.4, 1.0) * (1 - border) * (1 - 0.5 * hidden))


def _connected_to_border(unseen: np.ndarray) -> np.ndarray:
    """[H, W] pixels without depth that the image's border bounds."""
    labels, _ = ndimage.label(unseen)
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return unseen & np.isin(labels, np.unique(rim[rim > 0]))


def _shifted(image: np.ndarray, axis: int, shift: int, fill: float) -> np.ndarray:
    """The image whose pixel (i) is the neighbour (i + shift) along an axis, `fill` outside."""
    result = np.roll(image, -shift, axis=axis)
    index: list[slice | int] = [slice(None), slice(None)]
    index[axis] = -1 if shift > 0 else 0
    result[tuple(index)] = fill
    return result
