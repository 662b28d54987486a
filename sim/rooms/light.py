"""Light baked at the vertices: soft shadows from lamp and windows, and two bounces between surfaces.

The room is static and its surfaces are matt. The light is therefore computed once for all frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from echoseg_ros.types import Float32Array, Float64Array
from echoseg_sim.rooms.scene import Geometry, Textures, cast_rays, is_unoccluded

# Distance of a ray's origin from its surface, m.
_LIFT_M = 0.003
# Samples of an area light along each of its edges.
_SAMPLES_A_SIDE = 4
# Rays from each vertex for the light from other surfaces.
_BOUNCE_RAYS = 32
# Rays from each vertex that are cast at a time.
_CHUNK_RAYS = 8
# Bounces of the light between surfaces.
_BOUNCES = 2
# Smoothing passes over the light of each bounce.
_SMOOTHING_PASSES = 4
# Median light after exposure; stands for the camera's automatic exposure.
_TYPICAL_LIGHT = 0.5
# Vertices with less than this share of the mean light are left out of that median.
_DARK_SHARE = 0.1


@dataclass(frozen=True)
class AreaLight:
    """A rectangle that emits light along half_u x half_v.

    center: [3] in the map, metres; half_u, half_v: [3] half of its edges; color: [3] linear radiance.
    """

    center: Float64Array
    half_u: Float64Array
    half_v: Float64Array
    color: Float64Array


def bake_light(geometry: Geometry, textures: Textures, lights: Sequence[AreaLight], seed: int) -> Float32Array:
    """Linear irradiance [V, 3] at each vertex, exposed to the median of a well-lit image. Deterministic by seed."""
    rng = np.random.default_rng([seed, 77])
    points = geometry.vertices + _LIFT_M * geometry.normals
    direct = sum((_from_area(geometry, points, light) for light in lights), np.zeros(points.shape))
    hit = _bounce_hits(geometry, points, rng)
    smoother = _smoother(geometry)
    albedo = textures.mean_albedo[geometry.material]  # [T, 3]
    indirect = np.zeros_like(direct)
    for _ in range(_BOUNCES):
        leaving = albedo * (direct + indirect)[geometry.triangles].mean(axis=1)
        leaving = np.concatenate([leaving, np.zeros((1, 3))])  # the last row serves rays that hit nothing
        indirect = sum((leaving[row] for row in hit), np.zeros_like(direct)) / len(hit)
        for _ in range(_SMOOTHING_PASSES):
            indirect = smoother @ indirect
    light = direct + indirect
    lit = light.mean(axis=1)
    exposed: Float32Array = (light * (_TYPICAL_LIGHT / np.median(lit[lit > _DARK_SHARE * lit.mean()]))).astype(
        np.float32
    )
    return exposed


def _from_area(geometry: Geometry, points: Float32Array, light: AreaLight) -> Float64Array:
    normal = np.cross(light.half_u, light.half_v)
    area = 4 * float(np.linalg.norm(normal))
    normal = normal / np.linalg.norm(normal)
    steps = (np.arange(_SAMPLES_A_SIDE) + 0.5) / _SAMPLES_A_SIDE * 2 - 1
    total = np.zeros(len(points))
    for a in steps:
        for b in steps:
            sample = light.center + a * light.half_u + b * light.half_v
            ray = sample - points
            squared = (ray**2).sum(axis=1)
            length = np.sqrt(squared)
            cosine = np.clip((ray * geometry.normals).sum(axis=1) / length, 0, None) * np.clip(
                -(ray @ normal) / length, 0, None
            )
            facing = np.flatnonzero(cosine > 0)
            unoccluded = is_unoccluded(geometry, points[facing], np.broadcast_to(sample, (len(facing), 3)))
            total[facing] += unoccluded * cosine[facing] / squared[facing]
    return total[:, None] * light.color * area / _SAMPLES_A_SIDE**2


def _bounce_hits(geometry: Geometry, points: Float32Array, rng: np.random.Generator) -> NDArray[np.int64]:
    """Triangle [R, V] hit by each of R cosine-weighted rays from each vertex, -1 = none."""
    side, other = _tangents(geometry.normals)
    index = np.arange(_BOUNCE_RAYS)
    radius = np.sqrt((index + 0.5) / _BOUNCE_RAYS)
    golden = index * np.pi * (3 - np.sqrt(5))
    start = rng.uniform(0, 2 * np.pi, len(points))  # a turn of the pattern at each vertex avoids bands
    hits = []
    for chunk in np.array_split(index, _BOUNCE_RAYS // _CHUNK_RAYS):
        angle = golden[chunk, None] + start
        flat = radius[chunk, None, None] * (np.cos(angle)[..., None] * side + np.sin(angle)[..., None] * other)
        rays = flat + np.sqrt(1 - radius[chunk] ** 2)[:, None, None] * geometry.normals
        origins = np.broadcast_to(points, rays.shape)
        hits.append(cast_rays(geometry, origins.reshape(-1, 3), rays.reshape(-1, 3)).triangle.reshape(len(chunk), -1))
    return np.concatenate(hits)


def _tangents(normals: Float32Array) -> tuple[Float64Array, Float64Array]:
    helper = np.where(np.abs(normals[:, :1]) < 0.9, np.array([[1.0, 0, 0]]), np.array([[0, 1.0, 0]]))
    side = np.cross(normals, helper)
    side = side / np.linalg.norm(side, axis=1, keepdims=True)
    return side, np.cross(normals, side)


def _smoother(geometry: Geometry) -> sparse.csr_matrix:
    """Matrix [V, V] of one smoothing pass: half the vertex's own value, half the mean of its neighbours on the surface."""
    a, b, c = geometry.triangles.T
    rows, columns = np.concatenate([a, b, c, b, c, a]), np.concatenate([b, c, a, a, b, c])
    count = len(geometry.vertices)
    links = sparse.coo_matrix((np.ones(len(rows)), (rows, columns)), (count, count)).tocsr()
    degree = np.maximum(np.asarray(links.sum(axis=1)).ravel(), 1e-9)
    return 0.5 * sparse.identity(count) + 0.5 * sparse.diags(1 / degree) @ links
