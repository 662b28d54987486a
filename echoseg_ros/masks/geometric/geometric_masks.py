"""Mask backend `geometric`: components of the depth outside floors, table tops, shelves and walls; no weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.config import MaskConfig
from echoseg_ros.masks.geometric.components import (
    MAX_SIDE_M,
    MIN_PX,
    Component,
    find_components,
    join_overhanging_parts,
    measure_components,
)
from echoseg_ros.masks.geometric.planes import find_planes, pixel_areas
from echoseg_ros.masks.protocol import UNJUDGED, unjudged_view
from echoseg_ros.masks.surface import available_depth, make_surface
from echoseg_ros.types import CameraFrame, FloatImage, MaskProposal

# Least longest side of an object, metres; a cup's handle or a pen is shorter.
_MIN_SIDE_M = 0.03
# Least middle one of an object's three sides as a share of the longest: strips such as the edge of a table are no objects.
_MIN_WIDTH_SHARE = 0.1
# Least middle one of an object's three sides, metres.
_MIN_WIDTH_M = 0.015
# Share of the outline at the image's border beyond which a component is too incomplete to be judged.
_MAX_BORDER_SHARE = 0.3
# Least share of the outline that touches a support or a wall; a component with less is part of something occluded.
_MIN_CONTACT_SHARE = 0.06
# Size in the image from which the score does not grow, pixels.
_CLEAR_PX = 150
# Longest side beyond which the score falls, metres: a larger component may be several objects.
_SINGLE_SIDE_M = 0.4


class GeometricMasks:
    """Connected components of the surface outside the dominant planes, cut at steps of the depth.

    Gravity is known (the map's z axis). The planes are level patches that are large or carry objects, and large upright
    ones. Thresholds grow with the square of the depth, as the noise of depth cameras does.
    """

    def __init__(self, config: MaskConfig | None = None) -> None:
        self._config = config or MaskConfig()

    def propose(
        self,
        frame: CameraFrame,
        rendered_depth_m: FloatImage | None = None,
        rendered_alpha: FloatImage | None = None,
    ) -> MaskProposal:
        """See MaskBackend. Without any depth all pixels are unjudged."""
        depth_m = available_depth(frame, rendered_depth_m, rendered_alpha)
        if depth_m is None:
            return unjudged_view(frame, self._config.backend)
        surface = make_surface(frame.camera, depth_m, frame.T_map_camera)
        planes = find_planes(surface, pixel_areas(surface, 1 / (frame.camera.fx * frame.camera.fy)))
        pieces = find_components(surface, planes)
        components = measure_components(surface, planes, pieces)
        joined = join_overhanging_parts(pieces, components, _MIN_CONTACT_SHARE)
        if joined is not pieces:
            pieces, components = joined, measure_components(surface, planes, joined, components)
        labels, scores = _scored_labels(pieces, components)
        labels[~surface.valid & (labels == 0)] = UNJUDGED
        return MaskProposal(frame.stamp_ns, labels, scores, self._config.backend)


def _scored_labels(
    pieces: NDArray[np.int32], components: list[Component]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Labels [H, W] and scores [K] of the components that can be objects; incomplete ones are unjudged."""
    final = np.zeros(int(pieces.max()) + 1, np.int32)
    scores: list[float] = []
    for component in components:
        if not _could_be_object(component):
            continue
        if component.border_share > _MAX_BORDER_SHARE or component.contact_share < _MIN_CONTACT_SHARE:
            final[component.label] = UNJUDGED
            continue
        scores.append(_score(component))
        final[component.label] = len(scores)
    return final[pieces], np.array(scores, np.float32)


def _could_be_object(component: Component) -> bool:
    sides = sorted(component.sides_m)
    wide_enough = sides[1] >= max(_MIN_WIDTH_M, _MIN_WIDTH_SHARE * sides[2])
    big_enough = component.size_px >= MIN_PX and sides[2] >= _MIN_SIDE_M and wide_enough
    return big_enough and sides[2] <= MAX_SIDE_M


def _score(component: Component) -> float:
    """Score of a component: high for one that is large in the image, small in the room, complete and not occluded."""
    clear = np.clip(component.size_px / _CLEAR_PX, 0.4, 1.0)
    single = min(1.0, _SINGLE_SIDE_M / max(component.sides_m))
    return float(clear * single * (1 - component.border_share) * (1 - 0.5 * component.occluded_share))
