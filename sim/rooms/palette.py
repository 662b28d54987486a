"""Materials of one room, which its walls, furniture and objects share."""

from __future__ import annotations

import colorsys

import numpy as np

from echoseg_ros.types import RgbImage
from echoseg_sim.rooms import decals, textures
from echoseg_sim.rooms.mesh import Material, Rgb

# Colours of woods, sRGB.
_WOODS = ((0.72, 0.54, 0.36), (0.55, 0.37, 0.23), (0.82, 0.69, 0.50), (0.42, 0.28, 0.19))
# Colours of painted walls, sRGB.
_WALLS = ((0.90, 0.87, 0.80), (0.82, 0.87, 0.86), (0.90, 0.84, 0.78), (0.86, 0.88, 0.80), (0.84, 0.85, 0.90))
# Colours of a room's accent wall, sRGB.
_ACCENTS = ((0.52, 0.64, 0.62), (0.72, 0.52, 0.42), (0.46, 0.54, 0.66), (0.66, 0.62, 0.44))


class Palette:
    """Random materials of a room; each image is drawn once.

    rng: the room's random generator. The materials are a function of its seed and of the order of all draws from it.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self._plain = textures.plain(rng)
        self._metal = textures.brushed(rng)
        self.card = textures.cardboard(rng)
        light, dark = rng.choice(len(_WOODS), 2, replace=False)
        self.wood = Material(textures.wood(rng, _WOODS[light]), (0.9, 0.45))
        self.other_wood = Material(textures.wood(rng, _WOODS[dark]), (0.9, 0.45))
        self.floor = self._floor()
        self.wall = Material(textures.plaster(rng, _WALLS[rng.integers(len(_WALLS))]), (1.1, 1.1))
        self.accent_wall = self._accent_wall()
        self.ceiling = Material(textures.plaster(rng, (0.93, 0.93, 0.91)), (1.3, 1.3))
        self.lacquer = Material(self._plain, (0.4, 0.4), self.pale())
        self.worktop = Material(textures.stone(rng, self._grey(0.35, 0.75)), (0.8, 0.8))
        self.splash = Material(textures.tiles(rng, self.pale(), (0.75, 0.74, 0.72)), (0.4, 0.4))
        accent = self.vivid() if rng.random() < 0.5 else None
        self.upholstery = Material(textures.fabric(rng, self.muted(), accent), (0.3, 0.3))
        self.cushion = Material(textures.fabric(rng, self.vivid(), self.pale()), (0.22, 0.22))
        self._covers = [self._cover() for _ in range(7)]
        self.curtain = Material(textures.fabric(rng, self.muted(), self.pale()), (0.3, 0.3))

    def vivid(self) -> Rgb:
        """A random saturated colour."""
        return _hsv(self.rng.random(), self.rng.uniform(0.45, 0.75), self.rng.uniform(0.5, 0.85))

    def muted(self) -> Rgb:
        """A random colour for large surfaces."""
        return _hsv(self.rng.random(), self.rng.uniform(0.2, 0.45), self.rng.uniform(0.4, 0.7))

    def pale(self) -> Rgb:
        """A random colour near white."""
        return _hsv(self.rng.random(), self.rng.uniform(0.03, 0.15), self.rng.uniform(0.82, 0.93))

    def plastic(self, color: Rgb) -> Material:
        """Smooth plastic, paint or enamel."""
        return Material(self._plain, (0.25, 0.25), color)

    def metal(self, shade: float = 1.0) -> Material:
        """Brushed metal; `shade` darkens it."""
        return Material(self._metal, (0.2, 0.2), (shade, shade, shade))

    def decal(self, picture: RgbImage, width_m: float, height_m: float, emission: float = 0.0) -> Material:
        """A material whose image covers a face of this size once."""
        return Material(picture, (width_m, height_m), emission=emission)

    def cover(self) -> tuple[Rgb, RgbImage]:
        """Colour and title side of a random one of the room's few kinds of books."""
        return self._covers[self.rng.integers(len(self._covers))]

    def _cover(self) -> tuple[Rgb, RgbImage]:
        color = self.muted() if self.rng.random() < 0.5 else self.vivid()
        return color, decals.book(self.rng, color, self.pale())

    def _floor(self) -> Material:
        kind = self.rng.integers(3)
        if kind == 0:
            return Material(textures.planks(self.rng, _WOODS[self.rng.integers(len(_WOODS))]), (1.4, 0.84))
        if kind == 1:
            checker = self._grey(0.45, 0.6) if self.rng.random() < 0.4 else None
            return Material(textures.tiles(self.rng, self.pale(), (0.5, 0.48, 0.46), 4, 0.05, checker), (1.4, 1.4))
        return Material(textures.carpet(self.rng, self.muted()), (0.7, 0.7))

    def _accent_wall(self) -> Material:
        color = _ACCENTS[self.rng.integers(len(_ACCENTS))]
        if self.rng.random() < 0.5:
            return Material(textures.wallpaper(self.rng, self.pale(), color), (0.9, 0.9))
        return Material(textures.plaster(self.rng, color), (0.9, 0.9))

    def _grey(self, low: float, high: float) -> Rgb:
        value = self.rng.uniform(low, high)
        return _hsv(self.rng.random(), 0.06, value)


def _hsv(hue: float, saturation: float, value: float) -> Rgb:
    red, green, blue = colorsys.hsv_to_rgb(float(hue), float(saturation), float(value))
    return red, green, blue
