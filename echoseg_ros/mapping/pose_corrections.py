"""Small corrections of the keyframes' given poses, found by the optimiser from the images.

Moving the camera changes its image like moving all Gaussians the other way, so the gradient by the pose follows from the
gradients of the Gaussians.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from echoseg_ros import geometry
from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.mapping.stamp_interpolation import bracketing_rows
from echoseg_ros.types import Float64Array

# Adam's learning rate of the translation, as a share of the scene's depth.
MOVE_RATE = 4e-4
# Adam's learning rate of the rotation, rad.
TURN_RATE_RAD = 4e-4
# Adam's decay rates of the first and second moment (Kingma and Ba 2015).
BETA1, BETA2 = 0.9, 0.99
# Share of a correction that each step takes back, so that the map as a whole stays at the given poses.
RETURN_SHARE = 0.002
# Largest translation of a correction along each axis, as a share of the scene's depth.
MAX_MOVE = 0.03
# Largest rotation of a correction about each axis, rad.
MAX_TURN_RAD = 0.03


class PoseCorrections:
    """One correction for each keyframe, in the order of insertion: a twist in the camera frame.

    A twist [6] is a translation [3], map units, and a rotation vector [3], rad.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Remove all keyframes."""
        self._stamps_ns: list[int] = []
        self._twists: list[Float64Array] = []
        self._moments: list[Float64Array] = []  # [3, 6] each: mean, mean square and step count of Adam

    def add(self, stamp_ns: int) -> None:
        """Add a keyframe; it starts with the correction of the previous one."""
        self._twists.append(self._twists[-1].copy() if self._twists else np.zeros(6))
        self._stamps_ns.append(stamp_ns)
        self._moments.append(np.zeros((3, 6)))

    def remove(self, row: int) -> None:
        """Remove the keyframe of this row."""
        del self._stamps_ns[row], self._twists[row], self._moments[row]

    def corrected(self, row: int, T_map_camera: Float64Array) -> Float64Array:
        """The corrected pose [4, 4] of the keyframe of this row, given as T_map_camera."""
        return T_map_camera @ _transform(self._twists[row])

    def corrected_at(self, stamp_ns: int, T_map_camera: Float64Array) -> Float64Array:
        """A pose given for any time, with the correction interpolated between the keyframes before and after it."""
        if not self._twists:
            return T_map_camera
        low, high, share = bracketing_rows(self._stamps_ns, stamp_ns)
        return T_map_camera @ _transform((1 - share) * self._twists[low] + share * self._twists[high])

    def step(
        self, row: int, T_map_camera: Float64Array, gaussians: Gaussians, gradients: Gaussians, scene_depth: float
    ) -> None:
        """Take one step of Adam for the keyframe of this row.

        T_map_camera: [4, 4] pose that it was rendered from; gradients: of the loss by the Gaussians in that view;
        scene_depth: median depth of the view, map units.
        """
        gradient = _twist_gradient(T_map_camera, gaussians, gradients)
        mean, square, count = self._moments[row]
        count += 1
        mean += (1 - BETA1) * (gradient - mean)
        square += (1 - BETA2) * (gradient**2 - square)
        direction = (mean / (1 - BETA1**count)) / (np.sqrt(square / (1 - BETA2**count)) + 1e-12)
        rates = np.repeat([MOVE_RATE * scene_depth, TURN_RATE_RAD], 3)
        limits = np.repeat([MAX_MOVE * scene_depth, MAX_TURN_RAD], 3)
        self._twists[row] = np.clip((1 - RETURN_SHARE) * self._twists[row] - rates * direction, -limits, limits)


def _transform(twist: Float64Array) -> Float64Array:
    return geometry.transform(Rotation.from_rotvec(twist[3:]).as_matrix(), twist[:3])


@torch.no_grad()
def _twist_gradient(T_map_camera: Float64Array, gaussians: Gaussians, gradients: Gaussians) -> Float64Array:
    """Derivative [6] of the loss by a small motion of the camera in its own frame: translation, rotation.

    A motion (v, w) of the camera changes the image like the motion (-v, -w) of the Gaussians about the camera. Rotating a
    quaternion q by w changes it by w q / 2.
    """
    centre = torch.from_numpy(T_map_camera[:3, 3].astype(np.float32)).to(gaussians.device)
    by_translation = gradients.means.sum(0)
    by_rotation = torch.linalg.cross(gaussians.means - centre, gradients.means).sum(0)
    q = torch.nn.functional.normalize(gaussians.quats_wxyz, dim=1)
    # The gradients are by the stored quaternions, which have any length.
    g = gradients.quats_wxyz * gaussians.quats_wxyz.norm(dim=1, keepdim=True)
    of_quats = 0.5 * (g[:, 1:] * q[:, :1] - g[:, :1] * q[:, 1:] + torch.linalg.cross(q[:, 1:], g[:, 1:])).sum(0)
    by_rotation = by_rotation + of_quats
    both = torch.stack([by_translation, by_rotation]).cpu().numpy().astype(float)
    return -(both @ T_map_camera[:3, :3]).reshape(6)
