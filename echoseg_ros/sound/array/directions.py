"""Directions: sets spread evenly over the sphere or on the faces of a cube, and the highest one of a map."""

from __future__ import annotations

import numpy as np

from echoseg_ros.types import Float64Array, SoundEvidence


def fibonacci_sphere(count: int) -> Float64Array:
    """[count, 3] unit vectors spread evenly over the sphere."""
    i = np.arange(count) + 0.5
    z = 1.0 - 2.0 * i / count
    azimuth_rad = np.pi * (1.0 + np.sqrt(5.0)) * i
    radius = np.sqrt(1.0 - z * z)
    return np.stack([radius * np.cos(azimuth_rad), radius * np.sin(azimuth_rad), z], axis=1)


def cube_nodes(cells: int) -> Float64Array:
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


def peak_direction(evidence: SoundEvidence) -> Float64Array:
    """[3] unit vector of the map's highest point, between the grid's directions, array frame.

    A paraboloid in the tangent plane is fitted to the map around its highest direction.
    """
    directions = evidence.directions_array.astype(float)
    energy = evidence.energy.sum(axis=0).astype(float)
    best = directions[int(np.argmax(energy))]
    radius_rad = 1.7 * np.sqrt(4 * np.pi / len(directions))  # the direction itself and two rings of neighbours
    near = directions @ best > np.cos(radius_rad)
    across = np.linalg.svd(best[None])[2][1:]  # [2, 3] axes of the tangent plane
    u, v = across @ (directions[near] / (directions[near] @ best)[:, None]).T
    terms = np.stack([u * u, u * v, v * v, u, v, np.ones_like(u)], axis=1)
    a, b, c, d, e, _ = np.linalg.lstsq(terms, energy[near], rcond=None)[0]
    curvature, axes = np.linalg.eigh(np.array([[2 * a, b], [b, 2 * c]]))
    falls = curvature < 0.05 * min(curvature[0], 0.0)  # along the ridge of a line or a pair there is no vertex
    vertex = axes[:, falls] @ ((axes[:, falls].T @ [-d, -e]) / curvature[falls])
    vertex *= min(1.0, radius_rad / max(float(np.linalg.norm(vertex)), 1e-12))
    peak = best + vertex @ across
    return peak / np.linalg.norm(peak)
