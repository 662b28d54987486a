"""Triangle meshes from primitives (quads, boxes, surfaces of revolution, tubes) with texture coordinates and materials.

Primitives are tessellated to cells of a few centimetres, because the light is baked at the vertices (light.py).
Vertices are not shared across hard edges. Texture coordinates are metres on the surface, v upwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.types import Float64Array

# A colour, sRGB in [0, 1].
Rgb = tuple[float, float, float]
# A point or vector [3].
Point = Sequence[float] | NDArray[np.floating[Any]]

# Largest bend of a profile that is shaded smoothly, rad; a sharper bend is a hard edge.
_SMOOTH_RAD = np.deg2rad(40.0)
# Least length of a profile's segment, m.
_MIN_SEGMENT_M = 1e-6
# Least area of a triangle times two, m^2; the poles of a surface of revolution have smaller ones.
_MIN_DOUBLE_AREA_M2 = 1e-12


@dataclass(frozen=True, eq=False)
class Material:
    """Appearance of a surface.

    image: [S, S, 3] uint8 sRGB texture, S a power of two; tile_m: extent of one copy along u and v; tint: factor of the
    texture, sRGB; emission: emitted radiance relative to a white wall in the room's light, 0 = none.
    """

    image: NDArray[np.uint8]
    tile_m: tuple[float, float] = (0.5, 0.5)
    tint: Rgb = (1.0, 1.0, 1.0)
    emission: float = 0.0


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh.

    vertices: [V, 3] metres; normals: [V, 3]; uvs: [V, 2] metres; triangles: [T, 3] vertex indices; material_ids: [T]
    indices into materials.
    """

    vertices: Float64Array
    normals: Float64Array
    uvs: Float64Array
    triangles: NDArray[np.int32]
    material_ids: NDArray[np.int32]
    materials: tuple[Material, ...] = field(default=())


def merge(meshes: Sequence[Mesh]) -> Mesh:
    """All meshes as one; a material that several meshes share is kept once."""
    materials: dict[int, Material] = {}
    slot: dict[int, int] = {}
    triangles, ids, first = [], [], 0
    for mesh in meshes:
        for material in mesh.materials:
            materials.setdefault(id(material), material)
            slot.setdefault(id(material), len(slot))
        renumber = np.array([slot[id(material)] for material in mesh.materials], dtype=np.int32)
        triangles.append(mesh.triangles + first)
        ids.append(renumber[mesh.material_ids])
        first += len(mesh.vertices)
    return Mesh(
        np.concatenate([m.vertices for m in meshes]),
        np.concatenate([m.normals for m in meshes]),
        np.concatenate([m.uvs for m in meshes]),
        np.concatenate(triangles).astype(np.int32),
        np.concatenate(ids),
        tuple(materials.values()),
    )


def transformed(mesh: Mesh, T_a_b: Float64Array) -> Mesh:
    """The mesh under an affine transform T_a_b [4, 4]."""
    linear = T_a_b[:3, :3]
    normals = mesh.normals @ np.linalg.inv(linear)
    normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    vertices = mesh.vertices @ linear.T + T_a_b[:3, 3]
    return Mesh(vertices, normals, mesh.uvs, mesh.triangles, mesh.material_ids, mesh.materials)


def placed(mesh: Mesh, position: Point = (0, 0, 0), yaw_rad: float = 0.0, scale: Point = (1, 1, 1)) -> Mesh:
    """The mesh scaled, then turned about z, then moved to a position [3]."""
    c, s = np.cos(yaw_rad), np.sin(yaw_rad)
    T = np.eye(4)
    T[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) * np.asarray(scale, dtype=float)
    T[:3, 3] = position
    return transformed(mesh, T)


def with_top_forward(mesh: Mesh) -> Mesh:
    """The mesh with its z axis turned to +x: a surface of revolution then lies with its top to the front."""
    T = np.eye(4)
    T[:3, :3] = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]
    return transformed(mesh, T)


def with_texture_upright(mesh: Mesh, material: Material) -> Mesh:
    """The mesh with the texture of one material turned by 90 degrees: its u then runs upwards."""
    index = next(i for i, other in enumerate(mesh.materials) if other is material)
    uvs = mesh.uvs.copy()
    touched = np.unique(mesh.triangles[mesh.material_ids == index])
    uvs[touched] = np.stack([mesh.uvs[touched, 1], -mesh.uvs[touched, 0]], axis=1)
    return replace(mesh, uvs=uvs)


def extent(mesh: Mesh) -> tuple[Float64Array, Float64Array]:
    """Lowest and highest corner of the mesh, [3] each."""
    return mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)


def grid(points: Float64Array, normals: Float64Array, uvs: Float64Array, material: Material) -> Mesh:
    """A surface of R rows and C columns of points. Its front side is column direction x row direction.

    points, normals: [R, C, 3]; uvs: [R, C, 2] metres.
    """
    rows, columns = points.shape[:2]
    index = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1].ravel(), index[:-1, 1:].ravel(), index[1:, 1:].ravel(), index[1:, :-1].ravel()
    triangles = np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])
    corners = points.reshape(-1, 3)[triangles]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    triangles = triangles[area > _MIN_DOUBLE_AREA_M2]
    zeros = np.zeros(len(triangles), dtype=np.int32)
    return Mesh(points.reshape(-1, 3), normals.reshape(-1, 3), uvs.reshape(-1, 2), triangles, zeros, (material,))


def quad(corner: Point, edge_u: Point, edge_v: Point, material: Material, cell_m: float = 0.05) -> Mesh:
    """A rectangle from a corner along two edges, each [3]; its front side is edge_u x edge_v."""
    start, along_u, along_v = (np.asarray(p, dtype=float) for p in (corner, edge_u, edge_v))
    length_u, length_v = np.linalg.norm(along_u), np.linalg.norm(along_v)
    u, v = np.meshgrid(
        np.linspace(0, 1, int(np.ceil(length_u / cell_m)) + 1), np.linspace(0, 1, int(np.ceil(length_v / cell_m)) + 1)
    )
    points = start + u[..., None] * along_u + v[..., None] * along_v
    normal = np.cross(along_u, along_v)
    normals = np.broadcast_to(normal / np.linalg.norm(normal), points.shape)
    return grid(points, normals, np.stack([u * length_u, v * length_v], axis=-1), material)


# Faces of a box: corner, edge along u and edge along v, in half extents.
_FACES = {
    "+x": ((1, -1, -1), (0, 2, 0), (0, 0, 2)),
    "-x": ((-1, 1, -1), (0, -2, 0), (0, 0, 2)),
    "+y": ((1, 1, -1), (-2, 0, 0), (0, 0, 2)),
    "-y": ((-1, -1, -1), (2, 0, 0), (0, 0, 2)),
    "+z": ((-1, -1, 1), (2, 0, 0), (0, 2, 0)),
    "-z": ((1, -1, -1), (-2, 0, 0), (0, 2, 0)),
}


def box(size: Point, base: Point, material: Material, faces: Mapping[str, Material | None] | None = None,
        cell_m: float = 0.05) -> Mesh:  # fmt: skip
    """A box of a size [3] with its bottom centred at `base` [3].

    faces: materials of single faces ("+x", "-z", ...) instead of `material`; None omits the face.
    """
    half = np.asarray(size, dtype=float) / 2
    center = np.asarray(base, dtype=float) + [0, 0, half[2]]
    parts = []
    for name, (corner, edge_u, edge_v) in _FACES.items():
        face = (faces or {}).get(name, material)
        if face is not None:
            parts.append(quad(center + corner * half, edge_u * half, edge_v * half, face, cell_m))
    return merge(parts)


def lathe(
    profile: Sequence[tuple[float, float]], material: Material, base: Point = (0, 0, 0), segments: int = 28
) -> Mesh:
    """A surface of revolution about z. profile: (radius, z) pairs; the outside is in front where they run upwards."""
    rings = np.asarray(profile, dtype=float)
    rings = rings[np.append(True, np.linalg.norm(np.diff(rings, axis=0), axis=1) > _MIN_SEGMENT_M)]
    tangents = np.diff(rings, axis=0)
    lengths = np.linalg.norm(tangents, axis=1)
    normals = np.stack([tangents[:, 1], -tangents[:, 0]], axis=1) / lengths[:, None]
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    along = np.append(0, np.cumsum(lengths))
    parts = []
    for first, last in _smooth_runs(normals):
        ring_normals = _ring_normals(normals[first:last])
        parts.append(
            _revolve(
                rings[first : last + 1],
                ring_normals,
                along[first : last + 1],
                circle,
                angle,
                rings[:, 0].max(),
                material,
            )
        )
    return placed(merge(parts), base)


def _smooth_runs(normals: Float64Array) -> list[tuple[int, int]]:
    """First and last (exclusive) segments of a profile between hard edges; normals: [K, 2] of its segments."""
    bend = np.arccos(np.clip((normals[1:] * normals[:-1]).sum(axis=1), -1, 1))
    cuts = [0, *(np.flatnonzero(bend > _SMOOTH_RAD) + 1), len(normals)]
    return list(zip(cuts[:-1], cuts[1:], strict=True))


def _ring_normals(segment_normals: Float64Array) -> Float64Array:
    padded = np.concatenate([segment_normals[:1], segment_normals, segment_normals[-1:]])
    mean = padded[1:] + padded[:-1]
    unit: Float64Array = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    return unit


def _revolve(
    rings: Float64Array,
    normals: Float64Array,
    along: Float64Array,
    circle: Float64Array,
    angle: Float64Array,
    radius: float,
    material: Material,
) -> Mesh:
    points = np.concatenate(
        [rings[:, None, :1] * circle, np.broadcast_to(rings[:, None, 1:], (len(rings), len(circle), 1))], axis=2
    )
    turned = np.concatenate(
        [normals[:, None, :1] * circle, np.broadcast_to(normals[:, None, 1:], (len(rings), len(circle), 1))], axis=2
    )
    u, v = np.meshgrid(angle * radius, along)
    return grid(points, turned, np.stack([u, v], axis=-1), material)


def ball(radius: float, center: Point, material: Material, segments: int = 20) -> Mesh:
    """A sphere with its centre at `center` [3]."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, segments // 2 + 1)
    return lathe([(radius * np.cos(a), radius * np.sin(a)) for a in angle], material, center, segments)


def disc(radius: float, material: Material, segments: int = 28) -> Mesh:
    """A disc that faces +x, centred at the origin; a texture of 2 radius x 2 radius covers it once."""
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    radii = np.array([1.0, 0.0])[:, None] * radius  # the rim first: the front side is then +x
    y, z = radii * np.cos(angle), radii * np.sin(angle)
    points = np.stack([np.zeros_like(y), y, z], axis=-1)
    normals = np.broadcast_to(np.array([1.0, 0.0, 0.0]), points.shape)
    return grid(points, normals, np.stack([y + radius, z + radius], axis=-1), material)


def tube(points: Sequence[Point] | Float64Array, radius: float, material: Material, segments: int = 8) -> Mesh:
    """A tube along a polyline [n, 3]; its ends are open."""
    line = np.asarray(points, dtype=float)
    tangent = np.gradient(line, axis=0)
    tangent = tangent / np.linalg.norm(tangent, axis=1, keepdims=True)
    helper = np.eye(3)[np.argmin(np.abs(tangent).max(axis=0))]
    side = np.cross(tangent, helper)
    side = side / np.linalg.norm(side, axis=1, keepdims=True)
    other = np.cross(tangent, side)
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    normals = np.cos(angle)[:, None] * side[:, None] + np.sin(angle)[:, None] * other[:, None]
    along = np.append(0, np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1)))
    u, v = np.meshgrid(angle * radius, along)
    return grid(line[:, None] + radius * normals, normals, np.stack([u, v], axis=-1), material)


def arc(center: Point, radius: tuple[float, float], start_rad: float, end_rad: float, count: int = 12) -> Float64Array:
    """Points [count, 3] of an elliptic arc in the x-z plane. radius: along x and z."""
    angle = np.linspace(start_rad, end_rad, count)
    return np.asarray(center) + np.stack([radius[0] * np.cos(angle), 0 * angle, radius[1] * np.sin(angle)], axis=1)
