"""Look-up of direction maps on the faces of a cube."""

from __future__ import annotations

import numpy as np

from echoseg_ros.sound.array.directions import cube_nodes, fibonacci_sphere
from echoseg_ros.sound.localisation.back_projection import FACE_CELLS, CubeResampler
from echoseg_ros.types import Float64Array


def test_the_cube_holds_a_smooth_function_of_direction() -> None:
    directions = fibonacci_sphere(2500)
    resample = CubeResampler(directions)
    rotation, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    peak = np.array([0.36, -0.48, 0.8])

    def lobe(d: Float64Array) -> Float64Array:
        return np.asarray(np.exp(8 * (d @ peak - 1)))

    nodes = resample(lobe(directions).astype(np.float32), rotation)
    assert np.abs(nodes - lobe(cube_nodes(FACE_CELLS) @ rotation)).max() < 0.02
