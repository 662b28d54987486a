"""Scenes for ray casting: geometry, packed textures and the light baked at the vertices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.types import Float32Array, Float64Array
from echoseg_sim.rooms.mesh import Material, Mesh, merge

# Side of the smallest mip level, px.
_SMALLEST_LEVEL_PX = 4
# Part of a ray, at both ends, in which an obstacle does not count.
_RAY_END = 0.005


@dataclass(frozen=True, eq=False)
class Textures:
    """Texture images of K materials with their mip levels, in one array.

    pixels: [P, 3] uint8 sRGB; first: [K, L] index of each level's first pixel; size_px: [K] side of level 0; levels: [K]
    number of levels; tile_m: [K, 2] size of one tile; tint: [K, 3] linear; emission: [K]; mean_albedo: [K, 3] linear.
    """

    pixels: NDArray[np.uint8]
    first: NDArray[np.int64]
    size_px: NDArray[np.int32]
    levels: NDArray[np.int32]
    tile_m: Float32Array
    tint: Float32Array
    emission: Float32Array
    mean_albedo: Float32Array


@dataclass(frozen=True, eq=False)
class Geometry:
    """All surfaces of a scene.

    vertices, normals: [V, 3] metres in the map; uvs: [V, 2] metres; triangles: [T, 3] vertex indices; facing: [T, 3] unit
    normals of the triangles; material, entity: [T] number of each triangle's material and entity; caster: an open3d
    RaycastingScene whose primitive ids are triangle indices.
    """

    vertices: Float32Array
    normals: Float32Array
    uvs: Float32Array
    triangles: NDArray[np.int32]
    facing: Float32Array
    material: NDArray[np.int32]
    entity: NDArray[np.int32]
    caster: Any


@dataclass(frozen=True, eq=False)
class Scene:
    """A lit scene. light: [V, 3] linear irradiance at the vertices; with 1, a white surface is white in the image."""

    geometry: Geometry
    textures: Textures
    light: Float32Array


@dataclass(frozen=True, eq=False)
class Hits:
    """First hits of N rays. distance: [N] in ray lengths, inf = none; triangle: [N], -1 = none; uv: [N, 2] barycentric."""

    distance: Float32Array
    triangle: NDArray[np.int64]
    uv: Float32Array


def make_geometry(meshes: Sequence[Mesh], entities: Sequence[int]) -> tuple[Geometry, Textures]:
    """Geometry and textures of meshes. entities: the entity number of each mesh."""
    import open3d as o3d

    mesh = merge(meshes)
    entity = np.repeat(np.asarray(entities, dtype=np.int32), [len(m.triangles) for m in meshes])
    vertices = np.ascontiguousarray(mesh.vertices, dtype=np.float32)
    triangles = np.ascontiguousarray(mesh.triangles, dtype=np.int32)
    tensor = o3d.core.Tensor.from_numpy
    caster = o3d.t.geometry.RaycastingScene()
    caster.add_triangles(tensor(vertices), tensor(triangles.astype(np.uint32)))
    geometry = Geometry(vertices, mesh.normals.astype(np.float32), mesh.uvs.astype(np.float32), triangles,
                        _facing(vertices, triangles), mesh.material_ids.astype(np.int32), entity, caster)  # fmt: skip
    return geometry, pack_textures(mesh.materials)


def _facing(vertices: Float32Array, triangles: NDArray[np.int32]) -> Float32Array:
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    normal = np.cross(b - a, c - a)
    unit: Float32Array = (normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)).astype(np.float32)
    return unit


def cast_rays(geometry: Geometry, origins: NDArray[np.floating], directions: NDArray[np.floating]) -> Hits:
    """First hits of N rays from origins [N, 3] or [3] along directions [N, 3] of any length."""
    rays = np.empty((len(directions), 6), dtype=np.float32)
    rays[:, :3] = origins
    rays[:, 3:] = directions
    answer = geometry.caster.cast_rays(rays)
    triangle = answer["primitive_ids"].numpy().astype(np.int64)
    distance = answer["t_hit"].numpy()
    triangle[~np.isfinite(distance)] = -1
    return Hits(distance, triangle, answer["primitive_uvs"].numpy())


def is_unoccluded(
    geometry: Geometry, origins: NDArray[np.floating], targets: NDArray[np.floating]
) -> NDArray[np.bool_]:
    """Whether no surface lies between origins [N, 3] and targets [N, 3], [N]; 0.5 % at both ends do not count."""
    rays = np.empty((len(targets), 6), dtype=np.float32)
    rays[:, :3] = origins
    rays[:, 3:] = targets - origins
    occluded: NDArray[np.bool_] = geometry.caster.test_occlusions(rays, tnear=_RAY_END, tfar=1 - _RAY_END).numpy()
    return ~occluded


def pack_textures(materials: Sequence[Material]) -> Textures:
    """Textures of materials; an image that several materials share is stored once."""
    blocks: list[NDArray[np.uint8]] = []
    offsets: dict[int, list[int]] = {}
    means: dict[int, Float64Array] = {}
    total = 0
    for material in materials:
        if id(material.image) in offsets:
            continue
        offsets[id(material.image)] = []
        for level in _mip_levels(material.image):
            offsets[id(material.image)].append(total)
            blocks.append(level.reshape(-1, 3))
            total += len(blocks[-1])
        means[id(material.image)] = linear(blocks[-1] / 255.0).mean(axis=0)
    deepest = max(len(o) for o in offsets.values())
    chains = [offsets[id(m.image)] for m in materials]
    tint = linear(np.array([m.tint for m in materials]))
    return Textures(
        np.concatenate(blocks),
        np.array([c + [c[-1]] * (deepest - len(c)) for c in chains], dtype=np.int64),
        np.array([m.image.shape[0] for m in materials], dtype=np.int32),
        np.array([len(c) for c in chains], dtype=np.int32),
        np.array([m.tile_m for m in materials], dtype=np.float32),
        tint.astype(np.float32),
        np.array([m.emission for m in materials], dtype=np.float32),
        (tint * np.array([means[id(m.image)] for m in materials])).astype(np.float32),
    )


def linear(srgb: Float64Array) -> Float64Array:
    """Linear light of sRGB values, both in [0, 1]."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _mip_levels(image: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    levels = [np.ascontiguousarray(image)]
    while levels[-1].shape[0] > _SMALLEST_LEVEL_PX:
        fine = levels[-1].astype(np.uint16)
        coarse = (fine[::2, ::2] + fine[1::2, ::2] + fine[::2, 1::2] + fine[1::2, 1::2] + 2) // 4
        levels.append(coarse.astype(np.uint8))
    return levels
