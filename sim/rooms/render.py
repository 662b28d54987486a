"""RGB-D images and object masks of a lit scene by ray casting, and a simple model of the sensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numba
import numpy as np
from numpy.typing import NDArray

from echoseg_ros.geometry import pixel_rays
from echoseg_ros.types import Camera, Float64Array, FloatImage, RgbImage
from echoseg_sim.rooms.scene import Scene, cast_rays, linear

# Range of the simulated depth sensor, m.
DEPTH_RANGE_M = (0.3, 5.5)
# Linear light of each byte of an sRGB image.
_LINEAR_OF_BYTE = linear(np.arange(256) / 255.0).astype(np.float32)
# Steps of the tone curve's look-up table.
_TONE_STEPS = 16384
# Largest linear light of the tone curve's look-up table.
_TONE_WHITE = 4.0
# Subpixels of a pixel at an edge, in pixels from its centre: a rotated grid with four distinct rows and columns.
_SUBPIXELS = ((-0.125, -0.375), (0.375, -0.125), (0.125, 0.375), (-0.375, 0.125))
# Least difference of sRGB colours of neighbouring pixels at an edge.
_EDGE_CONTRAST = 0.03
# Cosine of the angle between triangles' normals below which neighbouring pixels lie on different surfaces.
_BENT_COSINE = 0.8


@dataclass(frozen=True, eq=False)
class RenderedView:
    """A view without noise, with truth.

    rgb: [H, W, 3]; depth_m: [H, W] along the optical axis, 0 = no surface; object_ids: [H, W] 1..N = the room's objects in
    their order, 0 = shell of the room, negative = furniture.
    """

    rgb: RgbImage
    depth_m: FloatImage
    object_ids: NDArray[np.int32]


def _tone_curve(light: Float64Array) -> Float64Array:
    """Values in sRGB of linear light, with a soft shoulder instead of clipping."""
    soft = np.where(light > 0.6, 0.6 + 0.4 * (1 - np.exp(-(light - 0.6) / 0.4)), light)
    return np.where(soft <= 0.0031308, 12.92 * soft, 1.055 * np.maximum(soft, 1e-9) ** (1 / 2.4) - 0.055)


_TONE = _tone_curve(np.linspace(0, _TONE_WHITE, _TONE_STEPS + 1)).astype(np.float32)


class HasScene(Protocol):
    """A room or another owner of a scene that can be rendered."""

    @property
    def scene(self) -> Scene: ...


def render(room: HasScene, camera: Camera, T_map_camera: Float64Array) -> RenderedView:
    """The view of a camera; edges are anti-aliased, textures are filtered by distance. Deterministic."""
    geometry = room.scene.geometry
    rays = pixel_rays(camera).reshape(-1, 3) @ T_map_camera[:3, :3].T
    colors, depth, triangle = _shade(room.scene, T_map_camera[:3, 3], rays, 1.0 / camera.fx)
    shape = (camera.height, camera.width)
    colors, depth_m, triangle = colors.reshape(*shape, 3), depth.reshape(shape), triangle.reshape(shape)
    _smooth_edges(room.scene, camera, T_map_camera, colors, depth_m, triangle)
    rgb = (np.clip(colors, 0, 1) * 255 + 0.5).astype(np.uint8)
    ids = np.where(triangle >= 0, geometry.entity[triangle], 0).astype(np.int32)
    return RenderedView(rgb, depth_m, ids)


def simulate_sensor(
    view: RenderedView, rng: np.random.Generator, color_noise: float = 2.0, depth_noise: float = 0.0015
) -> tuple[RgbImage, FloatImage]:
    """Colour [H, W, 3] and depth [H, W] in metres of a view as an RGB-D sensor delivers them.

    color_noise: standard deviation in grey levels; depth_noise: standard deviation in metres at 1 m, grows with depth^2.
    Depth outside DEPTH_RANGE_M becomes 0; other depth is rounded to millimetres.
    """
    grain = rng.standard_normal(view.rgb.shape, dtype=np.float32) * np.float32(color_noise)
    rgb = np.clip(view.rgb + grain + 0.5, 0, 255).astype(np.uint8)
    noise = rng.standard_normal(view.depth_m.shape, dtype=np.float32)
    depth = view.depth_m + noise * np.float32(depth_noise) * view.depth_m**2
    valid = (view.depth_m > DEPTH_RANGE_M[0]) & (view.depth_m < DEPTH_RANGE_M[1])
    return rgb, np.where(valid, np.round(depth, 3), 0).astype(np.float32)


def _smooth_edges(scene: Scene, camera: Camera, T_map_camera: Float64Array, colors: FloatImage, depth_m: FloatImage,
                  triangle: NDArray[np.int64]) -> None:  # fmt: skip
    """Replace `colors` by the mean of four subpixels at edges of the geometry with a contrast of colour, in place."""
    geometry = scene.geometry
    rows, columns = np.nonzero(
        _edges(
            colors, depth_m, triangle, geometry.material, geometry.entity, geometry.facing, np.float32(_EDGE_CONTRAST)
        )
    )
    center = pixel_rays(camera)[rows, columns]
    total = np.zeros((len(rows), 3), dtype=np.float32)
    for du, dv in _SUBPIXELS:
        rays = (center + [du / camera.fx, dv / camera.fy, 0]) @ T_map_camera[:3, :3].T
        total += _shade(scene, T_map_camera[:3, 3], rays, 0.5 / camera.fx)[0]
    colors[rows, columns] = total / len(_SUBPIXELS)


def _shade(
    scene: Scene, origin: Float64Array, rays: Float64Array, pixel_rad: float
) -> tuple[FloatImage, FloatImage, NDArray[np.int64]]:
    """Colours [N, 3] (sRGB in [0, 1]), depths [N] (0 = none) and triangles [N] (-1 = none) of rays [N, 3].

    rays: in the map, of length 1 along the optical axis; pixel_rad: angle between neighbouring rays.
    """
    hits = cast_rays(scene.geometry, origin, rays)
    geometry, textures = scene.geometry, scene.textures
    colors = _colors(
        *(hits.distance, hits.triangle, hits.uv, rays.astype(np.float32)),
        *(geometry.vertices, geometry.uvs, geometry.triangles, geometry.material, scene.light),
        *(textures.pixels, textures.first, textures.size_px, textures.levels),
        *(textures.tile_m, textures.tint, textures.emission, _LINEAR_OF_BYTE, _TONE, np.float32(pixel_rad)),
    )
    return colors, np.where(hits.triangle >= 0, hits.distance, 0).astype(np.float32), hits.triangle


@numba.njit(cache=True, nogil=True)
def _add_sample(color, weight, pixels, first, size, u, v, to_linear):  # type: ignore[no-untyped-def]
    """Add a bilinear sample at u, v (in tiles, v upwards) to color [3]. The bit masks need sizes that are powers of two."""
    x = (u - np.floor(u)) * size - np.float32(0.5)
    y = (np.float32(1) - (v - np.floor(v))) * size - np.float32(0.5)
    x0, y0 = int(np.floor(x)), int(np.floor(y))
    fx, fy = x - x0, y - y0
    left, right = x0 & (size - 1), (x0 + 1) & (size - 1)
    top, low = first + (y0 & (size - 1)) * size, first + ((y0 + 1) & (size - 1)) * size
    for channel in range(3):
        upper = to_linear[pixels[top + left, channel]] * (1 - fx) + to_linear[pixels[top + right, channel]] * fx
        lower = to_linear[pixels[low + left, channel]] * (1 - fx) + to_linear[pixels[low + right, channel]] * fx
        color[channel] += weight * (upper * (1 - fy) + lower * fy)


@numba.njit(cache=True, nogil=True)
def _incidence(a, b, c, ray):  # type: ignore[no-untyped-def]
    """Cosine between a ray and the normal of the triangle a, b, c, at least 0.15."""
    bx, by, bz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    cx, cy, cz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    nx, ny, nz = by * cz - bz * cy, bz * cx - bx * cz, bx * cy - by * cx
    along = abs(nx * ray[0] + ny * ray[1] + nz * ray[2])
    squared = (nx * nx + ny * ny + nz * nz) * (ray[0] * ray[0] + ray[1] * ray[1] + ray[2] * ray[2])
    return max(along / np.sqrt(max(squared, np.float32(1e-30))), np.float32(0.15))


@numba.njit(cache=True, nogil=True, parallel=True)
def _colors(  # type: ignore[no-untyped-def]
    distance,
    triangle,
    bary,
    rays,
    vertices,
    uvs,
    triangles,
    material,
    light,
    pixels,
    first,
    size_px,
    levels,
    tile_m,
    tint,
    emission,
    to_linear,
    tone,
    pixel_rad,
):
    """Colours [N, 3] in sRGB of hits: barycentric light and texture coordinates, trilinear texture filtering."""
    out = np.zeros((len(distance), 3), dtype=np.float32)
    for n in numba.prange(len(distance)):
        t = triangle[n]
        if t < 0:
            continue
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        wb, wc = bary[n, 0], bary[n, 1]
        wa = 1 - wb - wc
        k = material[t]
        u = (wa * uvs[a, 0] + wb * uvs[b, 0] + wc * uvs[c, 0]) / tile_m[k, 0]
        v = (wa * uvs[a, 1] + wb * uvs[b, 1] + wc * uvs[c, 1]) / tile_m[k, 1]
        # Mean of the pixel's extents across and along the slope of the surface.
        footprint = distance[n] * pixel_rad / np.sqrt(_incidence(vertices[a], vertices[b], vertices[c], rays[n]))
        texel = np.sqrt(tile_m[k, 0] * tile_m[k, 1]) / size_px[k]
        level = min(
            max(np.log2(max(footprint / texel, np.float32(1e-6))) - np.float32(0.25), np.float32(0)),
            levels[k] - np.float32(1.001),
        )
        fine = int(level)
        share = level - fine
        size = size_px[k] >> fine
        _add_sample(out[n], 1 - share, pixels, first[k, fine], size, u, v, to_linear)
        _add_sample(out[n], share, pixels, first[k, fine + 1], size >> 1, u, v, to_linear)
        for channel in range(3):
            shine = wa * light[a, channel] + wb * light[b, channel] + wc * light[c, channel]
            index = int(
                out[n, channel] * tint[k, channel] * (shine + emission[k]) * _TONE_STEPS / _TONE_WHITE + np.float32(0.5)
            )
            out[n, channel] = tone[min(index, _TONE_STEPS)]
    return out


@numba.njit(cache=True, nogil=True)
def _contrast(a, b):  # type: ignore[no-untyped-def]
    return max(abs(a[0] - b[0]), abs(a[1] - b[1]), abs(a[2] - b[2]))


@numba.njit(cache=True, nogil=True, parallel=True)
def _edges(colors, depth, triangle, material, entity, facing, contrast):  # type: ignore[no-untyped-def]
    """Mask [H, W] of pixels beside a pixel of another surface with another colour."""
    height, width = depth.shape
    out = np.zeros((height, width), dtype=np.bool_)
    for row in numba.prange(height):
        for column in range(width):
            t = triangle[row, column]
            for step in range(4):
                r, c = row + (step == 0) - (step == 1), column + (step == 2) - (step == 3)
                if r < 0 or c < 0 or r >= height or c >= width or out[row, column]:
                    continue
                other = triangle[r, c]
                if other == t or _contrast(colors[r, c], colors[row, column]) < contrast:
                    continue
                if t < 0 or other < 0 or material[t] != material[other] or entity[t] != entity[other]:
                    out[row, column] = True
                else:
                    m, n = facing[t], facing[other]
                    bent = abs(m[0] * n[0] + m[1] * n[1] + m[2] * n[2]) < _BENT_COSINE
                    out[row, column] = bent or abs(depth[r, c] - depth[row, column]) > 0.02 * depth[row, column]
    return out
