"""Small corrections of the given poses: a robot's localisation is off by centimetres, its pictures know better.

The gradient with respect to a camera's motion is that of moving all Gaussians the other way, so it follows from the
gradients that the optimiser has anyway.
"""

from __future__ import annotations

import bisect

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from echoseg_ros import geometry
from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.types import Float64Array

# Adam's step sizes: share of the scene's depth, and radians; and its memory (Kingma and Ba 2015).
MOVE_RATE, TURN_RATE_RAD = 4e-4, 4e-4
BETA1, BETA2 = 0.9, 0.99
# Each step also goes this share of the way back to the given pose, so that the map as a whole stays where it is.
BACK = 0.002
# No correction beyond these: the given poses are off by little.
MAX_MOVE, MAX_TURN_RAD = 0.03, 0.03


class PoseCorrections:
    """A correction for each keyframe, in its row's order of time: a twist (moved [3], turned [3] rad) in the camera frame."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all keyframes."""
        self._stamps_ns: list[int] = []
        self._twists: list[Float64Array] = []
        self._moments: list[Float64Array] = []  # [3, 6]: mean, mean square, count

    def add(self, stamp_ns: int) -> None:
        """A new keyframe starts with the correction of the one that came before it."""
        self._twists.append(self._twists[-1].copy() if self._twists else np.zeros(6))
        self._stamps_ns.append(stamp_ns)
        self._moments.append(np.zeros((3, 6)))

    def forget(self, row: int) -> None:
        """The keyframe of that row is no longer kept."""
        del self._stamps_ns[row], self._twists[row], self._moments[row]

    def corrected(self, row: int, T_map_camera: Float64Array) -> Float64Array:
        """The keyframe's pose [4, 4]."""
        return T_map_camera @ _motion(self._twists[row])

    def at(self, stamp_ns: int, T_map_camera: Float64Array) -> Float64Array:
        """A pose given for another time, corrected like the keyframes before and after it."""
        if not self._twists:
            return T_map_camera
        order = sorted(range(len(self._twists)), key=self._stamps_ns.__getitem__)
        after = bisect.bisect_left(order, stamp_ns, key=self._stamps_ns.__getitem__)
        low, high = order[max(after - 1, 0)], order[min(after, len(order) - 1)]
        span = self._stamps_ns[high] - self._stamps_ns[low]
        share = min(max((stamp_ns - self._stamps_ns[low]) / span, 0.0), 1.0) if span else 0.0
        return T_map_camera @ _motion((1 - share) * self._twists[low] + share * self._twists[high])

    def step(
        self, row: int, pose: Float64Array, gaussians: Gaussians, gradients: Gaussians, scene_depth: float
    ) -> None:
        """One step of Adam for the keyframe of that row, drawn from `pose` [4, 4] with these gradients."""
        gradient = _twist_gradient(pose, gaussians, gradients)
        mean, square, count = self._moments[row]
        count += 1
        mean += (1 - BETA1) * (gradient - mean)
        square += (1 - BETA2) * (gradient**2 - square)
        direction = (mean / (1 - BETA1**count)) / (np.sqrt(square / (1 - BETA2**count)) + 1e-12)
        rates = np.repeat([MOVE_RATE * scene_depth, TURN_RATE_RAD], 3)
        limits = np.repeat([MAX_MOVE * scene_depth, MAX_TURN_RAD], 3)
        self._twists[row] = np.clip((1 - BACK) * self._twists[row] - rates * direction, -limits, limits)


def _motion(twist: Float64Array) -> Float64Array:
    return geometry.transform(Rotation.from_rotvec(twist[3:]).as_matrix(), twist[:3])


@torch.no_grad()
def _twist_gradient(pose: Float64Array, gaussians: Gaussians, gradients: Gaussians) -> Float64Array:
    """[6] derivative of the loss by a small motion of the camera in its own frame: moved, turned.

    The camera moving by (v, w) shows what the Gaussians moving by (-v, -w) about it show. A quaternion q turned by w
    changes by w q / 2.
    """
    centre = torch.from_numpy(pose[:3, 3].astype(np.float32)).to(gaussians.device)
    moved = gradients.means.sum(0)
    turned = torch.linalg.cross(gaussians.means - centre, gradients.means).sum(0)
    q = torch.nn.functional.normalize(gaussians.quats_wxyz, dim=1)
    # Gradients belong to quaternions as they are stored, of any length.
    g = gradients.quats_wxyz * gaussians.quats_wxyz.norm(dim=1, keepdim=True)
    turned = turned + 0.5 * (g[:, 1:] * q[:, :1] - g[:, :1] * q[:, 1:] + torch.linalg.cross(q[:, 1:], g[:, 1:])).sum(0)
    both = torch.stack([moved, turned]).cpu().numpy().astype(float)
    return -(both @ pose[:3, :3]).reshape(6)
