"""Content of a file of 3D Gaussians, independent of its layout on disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Zeroth spherical harmonic function: colour = 0.5 + SH_C0 * f_dc (Kerbl et al. 2023).
SH_C0 = 0.28209479177387814


@dataclass(frozen=True)
class GaussianFile:
    """The Gaussians of a map file in the parametrisation of 3DGS.

    means: [N, 3] metres; f_dc: [N, 3]; opacity_logits: [N]; log_scales: [N, 3]; quats_wxyz: [N, 4]; all float32;
    extra: every other field by name, [N] each, in the type of the file.
    """

    means: NDArray[np.float32]
    f_dc: NDArray[np.float32]
    opacity_logits: NDArray[np.float32]
    log_scales: NDArray[np.float32]
    quats_wxyz: NDArray[np.float32]
    extra: dict[str, NDArray[Any]] = field(default_factory=dict)

    def is_finite(self) -> bool:
        """Whether all numbers of the Gaussians are finite; extra fields are not checked."""
        parts = (self.means, self.f_dc, self.opacity_logits, self.log_scales, self.quats_wxyz)
        return all(np.isfinite(part).all() for part in parts)


def rest_names(extra: dict[str, NDArray[Any]]) -> list[str]:
    """The consecutive names f_rest_0, f_rest_1, ... in `extra`: view-dependent colour of a trained file."""
    names: list[str] = []
    while (name := f"f_rest_{len(names)}") in extra:
        names.append(name)
    return names
