"""Procedural textures: tileable [S, S, 3] uint8 sRGB images, drawn with a random generator.

Colours are sRGB in [0, 1]. Noise is made with a shaped spectrum and is therefore periodic: textures repeat without a seam.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from echoseg_ros.types import RgbImage
from echoseg_sim.rooms.mesh import Rgb

# Values of a texture's pixels: [S, S] or [S, S, 3].
Values = NDArray[np.floating[Any]]

# Side of a texture, px.
SIZE_PX = 512


def noise(rng: np.random.Generator, roughness: float = 1.5, stretch: tuple[float, float] = (1.0, 1.0)) -> Values:
    """Periodic noise [S, S] of unit standard deviation with the amplitude spectrum 1 / f^roughness.

    stretch: factors of the frequencies along u and v; different factors make streaks.
    """
    parts = rng.standard_normal((2, SIZE_PX, SIZE_PX // 2 + 1), dtype=np.float32)
    values = fft.irfft2((parts[0] + 1j * parts[1]) * _fall_off(roughness, stretch), s=(SIZE_PX, SIZE_PX))
    noise_values: Values = values / values.std()
    return noise_values


@lru_cache(maxsize=64)
def _fall_off(roughness: float, stretch: tuple[float, float]) -> Values:
    fv, fu = np.meshgrid(np.fft.fftfreq(SIZE_PX), np.fft.rfftfreq(SIZE_PX), indexing="ij")
    frequency = np.hypot(fu * stretch[0], fv * stretch[1]) * SIZE_PX
    frequency[0, 0] = np.inf
    amplitude: Values = (np.maximum(frequency, 1.0) ** -roughness).astype(np.float32)
    return amplitude


def image(values: Values) -> RgbImage:
    """Image [S, S, 3] of sRGB values in [0, 1], which are clipped."""
    pixels: RgbImage = (np.clip(values, 0, 1).astype(np.float32) * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    return pixels


def shaded(color: Rgb, shade: Values) -> Values:
    """A colour times factors [S, S]: values [S, S, 3]."""
    return np.asarray(color, dtype=np.float32) * shade[..., None].astype(np.float32)


def mixed(a: Values | Rgb, b: Values | Rgb, share_b: Values) -> Values:
    """Mixture [S, S, 3] of two colours or images. share_b: [S, S] share of the second."""
    share = share_b[..., None].astype(np.float32)
    return np.asarray(a, dtype=np.float32) * (1 - share) + np.asarray(b, dtype=np.float32) * share


def plain(rng: np.random.Generator, contrast: float = 0.03) -> RgbImage:
    """Near-white plastic or lacquer with faint specks, to be tinted."""
    return image(shaded((0.93, 0.93, 0.93), 1 + contrast * (noise(rng, 1.4) + 0.6 * noise(rng, 0.4))))


def plaster(rng: np.random.Generator, color: Rgb) -> RgbImage:
    """Painted, slightly mottled plaster."""
    return image(shaded(color, 1 + 0.035 * noise(rng, 1.3) + 0.025 * noise(rng, 0.3)))


def wallpaper(rng: np.random.Generator, color: Rgb, accent: Rgb) -> RgbImage:
    """Wallpaper: stripes with a small motif."""
    u, v = _uv()
    stripes = 0.5 + 0.5 * np.tanh(6 * np.sin(2 * np.pi * 4 * u))
    motif = np.maximum(np.sin(2 * np.pi * 4 * u) * np.sin(2 * np.pi * 4 * v), 0) ** 2
    petals = np.clip(3 * motif - 1 + 0.3 * np.sin(2 * np.pi * 24 * u) * np.sin(2 * np.pi * 24 * v), 0, 1)
    base = mixed(color, accent, 0.25 * stripes + 0.75 * petals)
    return image(base * (1 + 0.03 * noise(rng, 1.0))[..., None])


def wood(rng: np.random.Generator, color: Rgb, grain: float = 1.0) -> RgbImage:
    """Wooden boards with growth rings along u."""
    u, v = _uv()
    warp = 0.05 * noise(rng, 2.0, (6.0, 1.0))
    rings = 0.5 + 0.5 * np.sin(2 * np.pi * (6 * v + 6 * warp) + 1.5 * np.sin(2 * np.pi * u))
    streaks = noise(rng, 0.8, (24.0, 1.0))
    pores = np.clip(noise(rng, 0.2, (16.0, 1.0)) - 1.2, 0, 1)
    return image(shaded(color, 1 + grain * (0.12 * (rings - 0.5) + 0.07 * streaks - 0.15 * pores)))


def planks(rng: np.random.Generator, color: Rgb) -> RgbImage:
    """A floor of staggered wooden planks along u, six rows for each tile."""
    rows, length = 6, SIZE_PX
    texture = wood(rng, color, 1.2).astype(float) / 255
    height = SIZE_PX / rows
    for row in range(rows):
        top, bottom = round(row * height), round((row + 1) * height)
        ends = (np.array([0, length // 2]) + rng.integers(length)) % length
        strip = np.roll(texture[top:bottom], rng.integers(length), axis=1)
        column = (np.arange(length) - ends[0]) % length < length // 2
        left, right = rng.uniform(0.78, 1.12, 2)
        strip = strip * np.where(column, left, right)[None, :, None]
        strip[:2] *= 0.55
        for end in ends:
            strip[:, end : end + 2] *= 0.55
        texture[top:bottom] = strip
    return image(texture)


def tiles(
    rng: np.random.Generator,
    color: Rgb,
    grout: Rgb,
    count: int = 4,
    variation: float = 0.06,
    checker: Rgb | None = None,
) -> RgbImage:
    """Square tiles with joints, `count` along each side; every second tile has the colour `checker`, if given."""
    cell = np.arange(SIZE_PX) * count // SIZE_PX
    tone = 1 + variation * rng.standard_normal((count, count))[np.ix_(cell, cell)]
    shade = tone * (1 + 0.03 * noise(rng, 1.2))
    base = shaded(color, shade)
    if checker is not None:
        odd = (cell[:, None] + cell[None, :]) % 2 == 1
        base[odd] = shaded(checker, shade)[odd]
    offset = np.arange(SIZE_PX) % (SIZE_PX // count)
    joint = (offset < max(3, SIZE_PX // count // 24)).astype(float)
    return image(mixed(base, shaded(grout, 1 + 0.05 * noise(rng, 0.5)), np.maximum(joint[:, None], joint[None, :])))


def carpet(rng: np.random.Generator, color: Rgb) -> RgbImage:
    """Carpet with a short pile."""
    return image(shaded(color, 1 + 0.10 * noise(rng, 0.3) + 0.05 * noise(rng, 1.4)))


def fabric(rng: np.random.Generator, color: Rgb, accent: Rgb | None = None) -> RgbImage:
    """A coarse weave, checked with a second colour if one is given."""
    u, v = _uv()
    weave = np.sin(2 * np.pi * 64 * u) * np.sin(2 * np.pi * 64 * v)
    shade = 1 + 0.08 * weave + 0.07 * noise(rng, 0.5) + 0.05 * noise(rng, 1.6)
    if accent is None:
        return image(shaded(color, shade))
    check = 0.5 * (np.sin(2 * np.pi * 3 * u) > 0.3) + 0.5 * (np.sin(2 * np.pi * 3 * v) > 0.3)
    return image(mixed(color, accent, check) * shade[..., None])


def stone(rng: np.random.Generator, color: Rgb) -> RgbImage:
    """A speckled, veined worktop."""
    veins = np.exp(-((noise(rng, 1.6) / 0.12) ** 2))
    specks = np.clip(noise(rng, 0.3) - 1.5, 0, 1)
    return image(shaded(color, 1 + 0.08 * noise(rng, 0.9) - 0.22 * veins - 0.4 * specks))


def brushed(rng: np.random.Generator, color: Rgb = (0.72, 0.73, 0.75)) -> RgbImage:
    """Brushed metal with streaks along u."""
    return image(shaded(color, 1 + 0.06 * noise(rng, 0.5, (40.0, 1.0)) + 0.06 * noise(rng, 1.8)))


def cardboard(rng: np.random.Generator) -> RgbImage:
    """Brown corrugated cardboard."""
    _, v = _uv()
    flutes = np.sin(2 * np.pi * 48 * v)
    return image(shaded((0.72, 0.54, 0.36), 1 + 0.03 * flutes + 0.05 * noise(rng, 1.2) + 0.02 * noise(rng, 0.2)))


def rug(rng: np.random.Generator, color: Rgb, accent: Rgb, third: Rgb) -> RgbImage:
    """One whole rug with borders and diamonds; not tileable."""
    u, v = _uv()
    edge = np.minimum(np.minimum(u, 1 - u), np.minimum(v, 1 - v))
    diamonds = (np.abs((u * 4) % 1 - 0.5) + np.abs((v * 6) % 1 - 0.5)) < 0.33
    small = (np.abs((u * 4) % 1 - 0.5) + np.abs((v * 6) % 1 - 0.5)) < 0.14
    base = mixed(color, accent, diamonds.astype(float))
    base = mixed(base, third, small.astype(float))
    base = mixed(base, accent, ((edge < 0.09) & (edge > 0.06)).astype(float))
    base = mixed(base, third, (edge < 0.03).astype(float))
    return image(base * (1 + 0.09 * noise(rng, 0.3) + 0.05 * noise(rng, 1.5))[..., None])


def picture(rng: np.random.Generator) -> RgbImage:
    """Motif of a framed picture: a landscape or flat shapes."""
    return _landscape(rng) if rng.random() < 0.5 else _shapes(rng)


def _landscape(rng: np.random.Generator) -> RgbImage:
    u, v = _uv()
    sky = mixed(rng.uniform(0.5, 0.9, 3), rng.uniform(0.3, 0.9, 3), v)
    sun = np.hypot(u - rng.uniform(0.2, 0.8), v - rng.uniform(0.15, 0.35)) < rng.uniform(0.05, 0.1)
    sky[sun] = (0.98, 0.88, 0.55)
    for level in (0.45, 0.6, 0.78):
        ridge = (
            level
            + 0.05 * np.cumsum(rng.standard_normal(SIZE_PX)) / np.sqrt(SIZE_PX) * 2
            + 0.02 * np.sin(9 * u[0] + rng.uniform(0, 6))
        )
        hill = rng.uniform((0.1, 0.2, 0.1), (0.5, 0.6, 0.4))
        below = v > ridge[None, :]
        sky[below] = (hill * (1.2 - 0.5 * v[..., None]))[below]
    return image(sky * (1 + 0.05 * noise(rng, 1.0))[..., None])


def _shapes(rng: np.random.Generator) -> RgbImage:
    canvas = np.full((SIZE_PX, SIZE_PX, 3), rng.uniform(0.75, 0.95, 3) * 255).astype(np.uint8)
    for _ in range(rng.integers(7, 12)):
        color = tuple(int(c) for c in rng.integers(20, 240, 3))
        center = tuple(int(c) for c in rng.integers(40, SIZE_PX - 40, 2))
        size = int(rng.integers(25, 110))
        kind = rng.integers(3)
        if kind == 0:
            cv2.circle(canvas, center, size, color, -1, cv2.LINE_AA)
        elif kind == 1:
            cv2.rectangle(canvas, center, (center[0] + size, center[1] + 2 * size), color, -1)
        else:
            corners = np.array(center) + rng.integers(-size, size, (3, 2))
            cv2.fillPoly(canvas, [corners.astype(np.int32)], color, cv2.LINE_AA)
    return image(canvas / 255.0 * (1 + 0.03 * noise(rng, 1.0))[..., None])


def outdoors(rng: np.random.Generator) -> RgbImage:
    """View through a window: sky, trees, a lawn."""
    _, v = _uv()
    clouds = np.clip(0.5 + 0.4 * noise(rng, 1.8, (1.0, 2.0)), 0, 1)
    view = mixed((0.62, 0.78, 0.95), (0.95, 0.97, 1.0), clouds)
    trees = 0.62 + 0.05 * noise(rng, 1.2)[:1]
    leaf = shaded((0.36, 0.50, 0.28), 1 + 0.25 * noise(rng, 0.8))
    lawn = shaded((0.50, 0.62, 0.34), 1 + 0.1 * noise(rng, 0.6))
    view = np.where((v > trees)[..., None], leaf, view)
    return image(np.where((v > 0.82)[..., None], lawn, view))


@lru_cache(maxsize=1)
def _uv() -> tuple[Values, Values]:
    """Texture coordinates [S, S] in [0, 1): u to the right, v downwards in the image."""
    ramp = (np.arange(SIZE_PX, dtype=np.float32) + np.float32(0.5)) / np.float32(SIZE_PX)
    u, v = np.meshgrid(ramp, ramp)
    return u, v
