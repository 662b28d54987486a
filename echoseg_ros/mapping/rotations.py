"""Conversions between rotation matrices and quaternions in torch, on any device."""

from __future__ import annotations

import torch
from torch import Tensor


def quaternions_wxyz(rotations: Tensor) -> Tensor:
    """Unit quaternions [N, 4] of rotation matrices [N, 3, 3]; the component of largest magnitude is positive.

    Each component gives one formula that divides by it; the largest component is used (Shepperd 1978).
    """
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = (row.unbind(-1) for row in rotations.unbind(-2))
    # Row k is the quaternion times 4 times its component k.
    candidates = torch.stack([
        1 + xx + yy + zz, zy - yz, xz - zx, yx - xy,
        zy - yz, 1 + xx - yy - zz, xy + yx, xz + zx,
        xz - zx, xy + yx, 1 - xx + yy - zz, yz + zy,
        yx - xy, xz + zx, yz + zy, 1 - xx - yy + zz,
    ], dim=-1)  # fmt: skip
    candidates = torch.unflatten(candidates, -1, (4, 4))
    largest = candidates.diagonal(dim1=-2, dim2=-1).argmax(dim=-1)
    picked = candidates.take_along_dim(largest[:, None, None], dim=-2).squeeze(-2)
    return torch.nn.functional.normalize(picked, dim=-1)


def rotation_matrices(quats_wxyz: Tensor) -> Tensor:
    """Rotation matrices [N, 3, 3] of quaternions [N, 4] of any length."""
    w, x, y, z = torch.nn.functional.normalize(quats_wxyz, dim=1).unbind(1)
    return torch.stack(
        [
            1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
            2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
            2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
        ],
        1,
    ).reshape(-1, 3, 3)  # fmt: skip
