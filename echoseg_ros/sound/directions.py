"""Sets of directions: spread evenly over the sphere, and on the faces of a cube, where a cell is found by division."""

from __future__ import annotations

import numpy as np

from echoseg_ros.types import Array


def fibonacci_sphere(count: int) -> Array:
    """[count, 3] unit vectors spread evenly over the sphere."""
    i = np.arange(count) + 0.5
    z = 1.0 - 2.0 * i / count
    azimuth_rad = np.pi * (1.0 + np.sqrt(5.0)) * i
    radius = np.sqrt(1.0 - z * z)
    return np.stack([radius * np.cos(azimuth_rad), radius * np.sin(azimuth_rad), z], axis=1)


def cube_nodes(cells: int) -> Array:
    """[6 (cells + 1)^2, 3] unit vectors of the nodes of a cube whose faces have so many cells along an edge.

    Face 2a is +axis a, 2a + 1 is -axis a, rows and columns the next axes.
    """
    line = np.linspace(-1.0, 1.0, cells + 1)
    u, v = np.meshgrid(line, line, indexing="ij")
    faces = []
    for axis in range(3):
        for sign in (1.0, -1.0):
            face = np.empty((*u.shape, 3))
            face[..., axis], face[..., (axis + 1) % 3], face[..., (axis + 2) % 3] = sign, u, v
            faces.append(face)
    nodes = np.stack(faces).reshape(-1, 3)
    return nodes / np.linalg.norm(nodes, axis=1, keepdims=True)
