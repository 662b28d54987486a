"""Decals: printed or moulded faces of objects, such as dials, grilles, displays and keys.

Each is a [S, S, 3] uint8 sRGB image that covers a face once. Positions in an image are (u, v) in [0, 1], v downwards.
"""

from __future__ import annotations

import cv2
import numpy as np

from echoseg_ros.types import RgbImage
from echoseg_sim.rooms.mesh import Rgb
from echoseg_sim.rooms.textures import SIZE_PX, image, noise, shaded

# Font of the printed characters.
_FONT = cv2.FONT_HERSHEY_DUPLEX


def _bytes(color: Rgb) -> tuple[int, int, int]:
    return int(color[0] * 255), int(color[1] * 255), int(color[2] * 255)


def _canvas(rng: np.random.Generator, color: Rgb) -> RgbImage:
    return image(shaded(color, 1 + 0.03 * noise(rng, 1.2)))


def _at(u: float, v: float) -> tuple[int, int]:
    return int(u * SIZE_PX), int(v * SIZE_PX)


def _rect(canvas: RgbImage, u0: float, v0: float, u1: float, v1: float, color: Rgb) -> None:
    cv2.rectangle(canvas, _at(u0, v0), _at(u1, v1), _bytes(color), -1)


def _disc(canvas: RgbImage, u: float, v: float, radii: tuple[float, float], color: Rgb, thickness: int = -1) -> None:
    axes = _at(*radii)
    cv2.ellipse(canvas, _at(u, v), axes, 0, 0, 360, _bytes(color), thickness, cv2.LINE_AA)


def _grille(canvas: RgbImage, u0: float, v0: float, u1: float, v1: float, color: Rgb, count: int = 12) -> None:
    for v in np.linspace(v0, v1, count):
        cv2.line(canvas, _at(u0, v), _at(u1, v), _bytes(color), 7)


def clock(rng: np.random.Generator) -> RgbImage:
    """Dial of a clock with hands."""
    canvas = _canvas(rng, (0.95, 0.94, 0.88))
    for hour in range(12):
        angle = hour * np.pi / 6
        tip, foot = 0.44, 0.34 if hour % 3 == 0 else 0.38
        foot_at, tip_at = (_at(0.5 + r * np.sin(angle), 0.5 - r * np.cos(angle)) for r in (foot, tip))
        cv2.line(canvas, foot_at, tip_at, (30, 30, 35), 16 if hour % 3 == 0 else 8, cv2.LINE_AA)
    for angle, length, width in ((rng.uniform(0, 6.28), 0.22, 18), (rng.uniform(0, 6.28), 0.33, 11)):
        cv2.line(
            canvas,
            _at(0.5, 0.5),
            _at(0.5 + length * np.sin(angle), 0.5 - length * np.cos(angle)),
            (25, 25, 30),
            width,
            cv2.LINE_AA,
        )
    _disc(canvas, 0.5, 0.5, (0.04, 0.04), (0.75, 0.15, 0.12))
    return canvas


def radio(rng: np.random.Generator, color: Rgb) -> RgbImage:
    """Front of a radio: grille on the left, scale and knobs on the right."""
    canvas = _canvas(rng, color)
    _rect(canvas, 0.05, 0.12, 0.52, 0.9, (0.16, 0.15, 0.14))
    _grille(canvas, 0.07, 0.17, 0.5, 0.86, (0.45, 0.42, 0.38))
    _rect(canvas, 0.58, 0.14, 0.95, 0.46, (0.93, 0.86, 0.62))
    for u in np.linspace(0.61, 0.92, 9):
        cv2.line(canvas, _at(u, 0.2), _at(u, 0.32), (60, 40, 20), 4)
    cv2.line(canvas, _at(0.74, 0.15), _at(0.74, 0.45), (200, 30, 30), 7)
    for u in (0.66, 0.86):
        _disc(canvas, u, 0.7, (0.075, 0.14), (0.9, 0.9, 0.88))
        _disc(canvas, u, 0.7, (0.045, 0.085), (0.35, 0.33, 0.32))
    return canvas


def microwave(rng: np.random.Generator, color: Rgb) -> RgbImage:
    """Front of a microwave oven: a dark window, a display and keys."""
    canvas = _canvas(rng, color)
    _rect(canvas, 0.04, 0.1, 0.7, 0.9, (0.12, 0.12, 0.13))
    _rect(canvas, 0.1, 0.2, 0.64, 0.8, (0.22, 0.23, 0.24))
    _grille(canvas, 0.11, 0.22, 0.63, 0.78, (0.15, 0.15, 0.16), 22)
    _rect(canvas, 0.78, 0.1, 0.96, 0.24, (0.05, 0.1, 0.08))
    cv2.putText(canvas, "12:30", _at(0.785, 0.21), _FONT, 1.0, (90, 240, 150), 2, cv2.LINE_AA)
    for row in range(4):
        for column in range(3):
            u, v = 0.785 + 0.062 * column, 0.32 + 0.11 * row
            _rect(canvas, u, v, u + 0.045, v + 0.075, (0.55, 0.55, 0.56))
    _rect(canvas, 0.785, 0.8, 0.955, 0.9, (0.3, 0.6, 0.35))
    return canvas


def speaker(rng: np.random.Generator, color: Rgb) -> RgbImage:
    """Front of a loudspeaker: two cones in a dark baffle."""
    canvas = _canvas(rng, color)
    for v, radius in ((0.27, 0.18), (0.67, 0.36)):
        height = radius * 0.62
        _disc(canvas, 0.5, v, (radius + 0.05, height + 0.03), (0.62, 0.63, 0.65))
        _disc(canvas, 0.5, v, (radius, height), (0.16, 0.16, 0.18))
        _disc(canvas, 0.5, v, (radius * 0.7, height * 0.7), (0.30, 0.30, 0.33), 10)
        _disc(canvas, 0.5, v, (radius * 0.35, height * 0.35), (0.50, 0.50, 0.54))
    return canvas


def keypad(rng: np.random.Generator, color: Rgb) -> RgbImage:
    """Top of a desk telephone: a display above twelve keys."""
    canvas = _canvas(rng, color)
    _rect(canvas, 0.42, 0.1, 0.92, 0.3, (0.62, 0.72, 0.60))
    for row in range(4):
        for column in range(3):
            u, v = 0.44 + 0.17 * column, 0.38 + 0.14 * row
            _rect(canvas, u, v, u + 0.12, v + 0.095, (0.92, 0.92, 0.9))
            cv2.putText(
                canvas,
                "123456789*0#"[3 * row + column],
                _at(u + 0.035, v + 0.08),
                _FONT,
                1.2,
                (40, 40, 40),
                3,
                cv2.LINE_AA,
            )
    return canvas


def coffee_panel(rng: np.random.Generator, color: Rgb) -> RgbImage:
    """Panel of a coffee maker: switches and a lamp."""
    canvas = _canvas(rng, color)
    _rect(canvas, 0.1, 0.2, 0.55, 0.8, (0.75, 0.76, 0.78))
    for u in (0.22, 0.42):
        _disc(canvas, u, 0.5, (0.07, 0.2), (0.2, 0.2, 0.22))
    _disc(canvas, 0.75, 0.5, (0.05, 0.14), (0.95, 0.25, 0.15))
    return canvas


def parcel(rng: np.random.Generator, card: RgbImage) -> RgbImage:
    """Side of a cardboard box: tape and a printed label."""
    canvas: RgbImage = card.copy()
    _rect(canvas, 0.44, 0.0, 0.56, 1.0, (0.80, 0.68, 0.48))
    u, v = rng.uniform(0.05, 0.15), rng.uniform(0.45, 0.6)
    _rect(canvas, u, v, u + 0.33, v + 0.3, (0.95, 0.95, 0.93))
    for line in range(4):
        _rect(
            canvas,
            u + 0.03,
            v + 0.04 + 0.06 * line,
            u + rng.uniform(0.15, 0.3),
            v + 0.065 + 0.06 * line,
            (0.15, 0.15, 0.18),
        )
    color = tuple(rng.uniform(0.1, 0.7, 3))
    _disc(canvas, 0.78, 0.3, (0.13, 0.13), color, 14)
    return canvas


def book(rng: np.random.Generator, color: Rgb, accent: Rgb) -> RgbImage:
    """Spine or cover of a book with bands and a title; its long side runs along u."""
    canvas = _canvas(rng, color)
    for u in (0.06, 0.9):
        _rect(canvas, u, 0.0, u + 0.04, 1.0, accent)
    _rect(canvas, 0.22, 0.3, rng.uniform(0.5, 0.75), 0.7, accent)
    return canvas


def bands(rng: np.random.Generator, color: Rgb, accent: Rgb) -> RgbImage:
    """Stripes and dots around a mug, a bowl or a pot."""
    canvas = _canvas(rng, color)
    _rect(canvas, 0, 0.2, 1, 0.27, accent)
    _rect(canvas, 0, 0.73, 1, 0.8, accent)
    for index, u in enumerate(np.arange(8) / 8 + 1 / 16):
        _disc(canvas, u, 0.5, (0.04, 0.12), accent if index % 2 else (0.95, 0.8, 0.3))
    return canvas


def label(rng: np.random.Generator, color: Rgb, accent: Rgb) -> RgbImage:
    """Paper label of a bottle."""
    canvas = _canvas(rng, color)
    _rect(canvas, 0, 0.06, 1, 0.12, accent)
    _rect(canvas, 0, 0.88, 1, 0.94, accent)
    for u in (0.1, 0.6):
        _disc(canvas, u + 0.14, 0.42, (0.12, 0.2), accent)
        _rect(canvas, u, 0.7, u + 0.28, 0.76, (0.2, 0.2, 0.2))
    return canvas


def toy_face(rng: np.random.Generator, color: Rgb) -> RgbImage:
    """Face of a toy: two eyes and a mouth."""
    canvas = _canvas(rng, color)
    for u in (0.3, 0.7):
        _disc(canvas, u, 0.4, (0.12, 0.14), (0.97, 0.97, 0.97))
        _disc(canvas, u, 0.42, (0.05, 0.07), (0.08, 0.08, 0.1))
    cv2.ellipse(canvas, _at(0.5, 0.62), _at(0.24, 0.16), 0, 20, 160, (40, 20, 20), 16, cv2.LINE_AA)
    return canvas


def door(rng: np.random.Generator, base: RgbImage) -> RgbImage:
    """Front of a door or cupboard with four recessed panels. base: [S, S, 3] texture of the wood."""
    panels = base.astype(float)
    for u0, u1 in ((0.12, 0.46), (0.54, 0.88)):
        for v0, v1 in ((0.07, 0.45), (0.53, 0.93)):
            x0, y0 = _at(u0, v0)
            x1, y1 = _at(u1, v1)
            panels[y0:y1, x0:x1] *= 0.93
            panels[y0 : y0 + 8, x0:x1] *= 0.72
            panels[y0:y1, x0 : x0 + 8] *= 0.8
            panels[y1 - 8 : y1, x0:x1] *= 1.08
    return image(panels / 255.0)


def washer_panel(rng: np.random.Generator, color: Rgb) -> RgbImage:
    """Front of a washing machine without its door: a strip with drawer, dial and display, and a flap at the bottom."""
    canvas = _canvas(rng, color)
    _rect(canvas, 0.03, 0.02, 0.97, 0.15, (0.72, 0.74, 0.77))
    _rect(canvas, 0.05, 0.035, 0.33, 0.135, color)
    _disc(canvas, 0.5, 0.085, (0.055, 0.04), (0.25, 0.26, 0.28))
    _rect(canvas, 0.62, 0.045, 0.92, 0.125, (0.08, 0.1, 0.12))
    cv2.putText(canvas, "0:42", _at(0.66, 0.115), _FONT, 1.4, (120, 220, 250), 3, cv2.LINE_AA)
    _rect(canvas, 0.68, 0.88, 0.9, 0.95, (0.8 * color[0], 0.8 * color[1], 0.8 * color[2]))
    return canvas
