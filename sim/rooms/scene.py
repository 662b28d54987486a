"""A lit scene ready for ray casting: geometry, packed textures and the light baked at every vertex."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.types import Float64Array
from echoseg_sim.rooms.mesh import Material, Mesh, merge

_SMALLEST_LEVEL_PX = 4


@dataclass(frozen=True, eq=False)
class Textures:
    """All images of a scene with their mip levels in one array.

    pixels: [P, 3] uint8; first: [K, L] index of a level's first pixel; size_px: [K] of level 0; levels: [K];
    tile_m, tint (linear), emission, mean_albedo (linear): one row a material.
    """

    pixels: NDArray[np.uint8]
    first: NDArray[np.int64]
    size_px: NDArray[np.int32]
    levels: NDArray[np.int32]
    tile_m: NDArray[np.float32]
    tint: NDArray[np.float32]
    emission: NDArray[np.float32]
    mean_albedo: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Geometry:
    """Everything solid. vertices, normals: [V, 3]; uvs: [V, 2]; triangles, facing: [T, 3], facing = unit normals.

    material, entity: [T]; caster is an open3d RaycastingScene whose primitive ids are triangle indices.
    """

    vertices: NDArray[np.float32]
    normals: NDArray[np.float32]
    uvs: NDArray[np.float32]
    triangles: NDArray[np.int32]
    facing: NDArray[np.float32]
    material: NDArray[np.int32]
    entity: NDArray[np.int32]
    caster: Any


@dataclass(frozen=True, eq=False)
class Scene:
    """Geometry, textures and light: [V, 3] float32 linear irradiance, 1 = a white surface looks white."""

    geometry: Geometry
    textures: Textures
    light: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Hits:
    """What rays meet. distance: [N] in ray lengths, inf = none; triangle: [N], -1 = none; uv: [N, 2] barycentric."""

    distance: NDArray[np.float32]
    triangle: NDArray[np.int64]
    uv: NDArray[np.float32]


def make_geometry(meshes: Sequence[Mesh], entities: Sequence[int]) -> tuple[Geometry, Textures]:
    """One geometry of many meshes; `entities` says which number the triangles of each mesh bear."""
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


def _facing(vertices: NDArray[np.float32], triangles: NDArray[np.int32]) -> NDArray[np.float32]:
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    normal = np.cross(b - a, c - a)
    return (normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def cast_rays(geometry: Geometry, origins: NDArray[np.floating], directions: NDArray[np.floating]) -> Hits:
    """First hits of rays; origins [N, 3] (or [3]), directions [N, 3] of any length."""
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
    """Whether nothing stands between origins [N, 3] and targets [N, 3] (ends excluded by 0.5 %)."""
    rays = np.empty((len(targets), 6), dtype=np.float32)
    rays[:, :3] = origins
    rays[:, 3:] = targets - origins
    return ~geometry.caster.test_occlusions(rays, tnear=0.005, tfar=0.995).numpy()


def pack_textures(materials: Sequence[Material]) -> Textures:
    """The materials' images with mip levels, each image once."""
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
    """Linear light of sRGB values in [0, 1]."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _mip_levels(image: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    levels = [np.ascontiguousarray(image)]
    while levels[-1].shape[0] > _SMALLEST_LEVEL_PX:
        fine = levels[-1].astype(np.uint16)
        coarse = (fine[::2, ::2] + fine[1::2, ::2] + fine[::2, 1::2] + fine[1::2, 1::2] + 2) // 4
        levels.append(coarse.astype(np.uint8))
    return levels
