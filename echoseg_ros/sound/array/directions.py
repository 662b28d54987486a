"""Sets of directions over the sphere or a cube, and the peak direction of a map."""

from __future__ import annotations

import numpy as np

from echoseg_ros.types import Float64Array, SoundEvidence

# Radius of the fit around the highest direction, in mean spacings of the directions: itself and two rings of neighbours.
FIT_SPACINGS = 1.7
# An axis along which the curvature is below this share of the largest has no vertex: the ridge of a line array or a pair.
MIN_CURVATURE_SHARE = 0.05


def fibonacci_sphere(count: int) -> Float64Array:
    """[count, 3] unit vectors, evenly spread over the sphere."""
    i = np.arange(count) + 0.5
    z = 1.0 - 2.0 * i / count
    azimuth_rad = np.pi * (1.0 + np.sqrt(5.0)) * i
    radius = np.sqrt(1.0 - z * z)
    return np.stack([radius * np.cos(azimuth_rad), radius * np.sin(azimuth_rad), z], axis=1)


def cube_nodes(cells: int) -> Float64Array:
    """[6 (cells + 1)^2, 3] unit vectors towards the nodes on the faces of a cube with `cells` cells along an edge.

    Face 2a is +axis a, face 2a + 1 is -axis a; rows and columns run along the next two axes.
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
    lengths: Float64Array = np.linalg.norm(nodes, axis=1, keepdims=True)
    return nodes / lengths


def peak_direction(evidence: SoundEvidence) -> Float64Array:
    """[3] unit vector of the map's peak in the array frame, interpolated between the directions of the map.

    A paraboloid in the tangent plane is fitted around the highest direction.
    """
    directions: Float64Array = evidence.directions_array.astype(float)
    energy = evidence.energy.sum(axis=0).astype(float)
    best: Float64Array = directions[int(np.argmax(energy))]
    radius_rad = FIT_SPACINGS * np.sqrt(4 * np.pi / len(directions))
    near = directions @ best > np.cos(radius_rad)
    across = np.linalg.svd(best[None])[2][1:]  # [2, 3] axes of the tangent plane
    u, v = across @ (directions[near] / (directions[near] @ best)[:, None]).T
    terms = np.stack([u * u, u * v, v * v, u, v, np.ones_like(u)], axis=1)
    a, b, c, d, e, _ = np.linalg.lstsq(terms, energy[near], rcond=None)[0]
    curvature, axes = np.linalg.eigh(np.array([[2 * a, b], [b, 2 * c]]))
    curved = curvature < MIN_CURVATURE_SHARE * min(curvature[0], 0.0)
    vertex = axes[:, curved] @ ((axes[:, curved].T @ [-d, -e]) / curvature[curved])
    vertex *= min(1.0, radius_rad / max(float(np.linalg.norm(vertex)), 1e-12))
    peak: Float64Array = best + vertex @ across
    return peak / float(np.linalg.norm(peak))
