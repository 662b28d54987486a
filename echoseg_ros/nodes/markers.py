"""Markers for RViz: box, points and label of each sounding object; position and 95 % ellipsoid of each source.

Namespaces and ids are fixed (the id is the instance's or the source's). Every marker has a lifetime, and a marker that is
no longer part of the verdict is deleted at once.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from builtin_interfaces.msg import Duration
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from echoseg_ros.geometry import box_corners, quaternion_xyzw
from echoseg_ros.nodes.convert import header, point, pose, quaternion, vector
from echoseg_ros.report.draw import colour
from echoseg_ros.types import Float64Array, MotionHint, SoundingObject, SoundSource, Verdict

# Lifetime of a marker: longer than the time between verdicts, short enough that a dead node leaves nothing behind.
LIFETIME_S = 5
# Width of the edges of a box.
EDGE_M = 0.008
# Size of a point of an object.
POINT_M = 0.008
# Diameter of the position of a source.
DOT_M = 0.05
# Height of the text.
TEXT_M = 0.06
# Most points of an object: a marker is sent whole each time.
MAX_POINTS = 500
# Half axes of the 95 % ellipsoid in standard deviations: sqrt(chi2(3).ppf(0.95)).
ELLIPSOID_SIGMAS = 2.795
# Longest axis of an ellipsoid: a larger one hides the room.
MAX_ELLIPSOID_M = 3.0
# Shaft diameter, head diameter and head length of the arrow of a motion hint.
ARROW_M = (0.02, 0.05, 0.08)
# Colour of a source that belongs to no object.
ELSEWHERE_RGB = (220, 220, 220)
# Pairs of corners (x fastest) that an edge joins.
_EDGES = [(a, a | bit) for a in range(8) for bit in (1, 2, 4) if not a & bit]


class MarkerBoard:
    """Knows which markers are shown, to delete those that are not part of the next verdict."""

    def __init__(self, frame: str) -> None:
        self._frame = frame
        self._current: set[tuple[str, int]] = set()

    def update(self, verdict: Verdict) -> MarkerArray:
        """The markers of a verdict, and DELETE for those of the last verdict that are not among them."""
        markers = list(_markers(verdict))
        current = {(marker.ns, marker.id) for marker in markers}
        gone = [Marker(ns=ns, id=i, action=Marker.DELETE) for ns, i in sorted(self._current - current)]
        self._current = current
        for marker in [*markers, *gone]:
            marker.header = header(verdict.stamp_ns, self._frame)
        return MarkerArray(markers=[*gone, *markers])


def _markers(verdict: Verdict) -> Iterator[Marker]:
    for rank, sounding in enumerate(verdict.sounding):
        yield from _object_markers(sounding, colour(rank))
    for source in verdict.sources:
        ranks = [rank for rank, sounding in enumerate(verdict.sounding) if sounding.source.id == source.id]
        rgb = colour(ranks[0]) if ranks else ELSEWHERE_RGB
        yield from _source_markers(source, rgb)


def _object_markers(sounding: SoundingObject, rgb: tuple[int, int, int]) -> Iterator[Marker]:
    instance, box = sounding.instance, sounding.instance.box
    body = _marker("sounding_box", instance.id, Marker.CUBE, rgb, 0.18)
    body.pose = pose(box.center_m, box.quaternion_xyzw)
    body.scale = vector(np.maximum(box.size_m, 0.01))
    yield body
    edges = _marker("sounding_edges", instance.id, Marker.LINE_LIST, rgb, 1.0)
    corners = box_corners(box)
    edges.points = [point(corners[corner]) for edge in _EDGES for corner in edge]
    edges.scale = vector([EDGE_M, 0, 0])
    yield edges
    dots = _marker("sounding_points", instance.id, Marker.POINTS, rgb, 0.9)
    every = max(1, -(-len(instance.points_map) // MAX_POINTS))
    dots.points = [point(p) for p in instance.points_map[::every].tolist()]
    dots.scale = vector([POINT_M, POINT_M, 0])
    yield dots
    text = f"{sounding.label or f'object {instance.id}'}  {sounding.probability:.0%}"
    yield _label("sounding_label", instance.id, text, corners, rgb)


def _source_markers(source: SoundSource, rgb: tuple[int, int, int]) -> Iterator[Marker]:
    dot = _marker("source_position", source.id, Marker.SPHERE, rgb, 1.0)
    dot.pose, dot.scale = pose(source.position_m), vector([DOT_M] * 3)
    yield dot
    axes_m, rotation = _ellipsoid(source.covariance_m2)
    cloud = _marker("source_covariance", source.id, Marker.SPHERE, rgb, 0.25)
    cloud.pose = pose(source.position_m)
    cloud.pose.orientation = quaternion(quaternion_xyzw(rotation))
    cloud.scale = vector(axes_m)
    yield cloud
    if source.object_id is None:
        probability = dict(source.candidates).get(None, 0.0)
        corners = np.asarray(source.position_m, dtype=float)[None]
        text = f"{source.label}, elsewhere" if source.label else "elsewhere"
        yield _label("source_label", source.id, f"{text}  {probability:.0%}", corners, rgb)
    if source.hint is not None:
        yield from _hint_markers(source.id, source.hint, rgb)


def _hint_markers(source_id: int, hint: MotionHint, rgb: tuple[int, int, int]) -> Iterator[Marker]:
    """An arrow from the array, along the move or the axis of the turn (right-hand rule), and the hint's text."""
    arrow = _marker("motion_hint", source_id, Marker.ARROW, rgb, 0.9)
    arrow.points = [point(hint.from_map), point(hint.from_map + hint.vector_map)]
    arrow.scale = vector(ARROW_M)
    yield arrow
    yield _label("motion_hint_label", source_id, hint.text, np.asarray(hint.from_map, dtype=float)[None], rgb)


def _label(namespace: str, marker_id: int, text: str, corners: Float64Array, rgb: tuple[int, int, int]) -> Marker:
    """A text above the highest corner."""
    label = _marker(namespace, marker_id, Marker.TEXT_VIEW_FACING, rgb, 1.0)
    middle = corners.mean(axis=0)
    label.pose = pose([middle[0], middle[1], corners[:, 2].max() + 1.5 * TEXT_M])
    label.scale = vector([0, 0, TEXT_M])
    label.text = text
    return label


def _ellipsoid(covariance_m2: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Full axes [3] in metres and rotation [3, 3] of the 95 % ellipsoid."""
    variances, axes = np.linalg.eigh(np.asarray(covariance_m2, dtype=float))
    if np.linalg.det(axes) < 0:
        axes = axes * [1.0, 1.0, -1.0]
    size_m = 2 * ELLIPSOID_SIGMAS * np.sqrt(np.maximum(variances, 0.0))
    return np.clip(size_m, 0.01, MAX_ELLIPSOID_M), axes


def _marker(namespace: str, marker_id: int, kind: int, rgb: tuple[int, int, int], alpha: float) -> Marker:
    marker = Marker(ns=namespace, id=int(marker_id), type=kind, action=Marker.ADD, pose=pose([0, 0, 0]))
    red, green, blue = (channel / 255 for channel in rgb)
    marker.color = ColorRGBA(r=red, g=green, b=blue, a=float(alpha))
    marker.lifetime = Duration(sec=LIFETIME_S)
    return marker
