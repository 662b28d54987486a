"""Objects by geometry alone: what stands out of floors, table tops, shelves and walls. No weights, one core."""

from __future__ import annotations

import numpy as np

from echoseg_ros.config import MaskConfig
from echoseg_ros.masks.geometric.components import (
    MAX_SIDE_M,
    MIN_PX,
    Component,
    find_components,
    join_overhanging,
    measure,
)
from echoseg_ros.masks.geometric.planes import find_planes, pixel_areas
from echoseg_ros.masks.surface import known_depth, make_surface
from echoseg_ros.types import CameraFrame, FloatImage, MaskProposal

# A cup's handle, a pen: less than this is not an object.
_MIN_SIDE_M = 0.03
# A strip (the edge of a table top) is not one either: the middle one of the three sides has at least this share of the
# longest, and this length.
_MIN_WIDTH_SHARE = 0.1
_MIN_WIDTH_M = 0.015
# Share of the outline at the image's border from which a component is too incomplete to be judged.
_MAX_BORDER_SHARE = 0.3
# Share of the outline that has to touch what carries it; else the component is part of something half hidden.
_MIN_CONTACT_SHARE = 0.06
# A component of this many pixels is seen well enough to be fully trusted; one of this size may be several things.
_CLEAR_PX = 150
_SURE_SIDE_M = 0.4

UNJUDGED = -1


class GeometricMasks:
    """Connected components of what stands out of the dominant planes, cut at steps of the depth.

    The planes are found with gravity known (the map's z axis): level patches that are large or carry things, and large
    upright ones. Thresholds grow with the square of the depth, as the noise of depth cameras does.
    """

    def __init__(self, config: MaskConfig | None = None) -> None:
        self._config = config or MaskConfig()

    def propose(
        self,
        frame: CameraFrame,
        rendered_depth_m: FloatImage | None = None,
        rendered_alpha: FloatImage | None = None,
    ) -> MaskProposal:
        """Candidate objects at the size of the frame's camera; label -1 marks what cannot be judged from here.

        Without any depth everything is unjudged. Raises ImageFormatError if a depth image has not the camera's size.
        """
        shape = (frame.camera.height, frame.camera.width)
        depth_m = known_depth(frame, rendered_depth_m, rendered_alpha)
        if depth_m is None:
            labels = np.full(shape, UNJUDGED, np.int32)
            return MaskProposal(frame.stamp_ns, labels, np.zeros(0, np.float32), self._config.backend)
        surface = make_surface(frame.camera, depth_m, frame.T_map_camera)
        planes = find_planes(surface, pixel_areas(surface, 1 / (frame.camera.fx * frame.camera.fy)))
        pieces = find_components(surface, planes)
        components = measure(surface, planes, pieces)
        joined = join_overhanging(pieces, components, _MIN_CONTACT_SHARE)
        if joined is not pieces:
            pieces, components = joined, measure(surface, planes, joined, components)
        labels, scores = _judged(pieces, components)
        labels[~surface.valid & (labels == 0)] = UNJUDGED
        return MaskProposal(frame.stamp_ns, labels, scores, self._config.backend)


def _judged(pieces: np.ndarray, components: list[Component]) -> tuple[np.ndarray, np.ndarray]:
    """Final labels [H, W] and scores [K] of the components that can be objects."""
    final = np.zeros(int(pieces.max()) + 1, np.int32)
    scores: list[float] = []
    for component in components:
        if not _could_be_object(component):
            continue
        if component.border > _MAX_BORDER_SHARE or component.contact < _MIN_CONTACT_SHARE:
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
    """Trust in a component: large in the image, small in the room, complete, in front."""
    clear = np.clip(component.size_px / _CLEAR_PX, 0.4, 1.0)
    single = min(1.0, _SURE_SIDE_M / max(component.sides_m))
    return float(clear * single * (1 - component.border) * (1 - 0.5 * component.hidden))
