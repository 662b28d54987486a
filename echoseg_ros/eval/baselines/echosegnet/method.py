"""EchoSegnet (Sokolov, Bhosale & Zhu 2024), the reference method, with its weaknesses.

Written from what the paper and the authors' code do, not from their code. It works with any map and any 2D masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from echoseg_ros.eval.baselines.echosegnet.aisrm import (
    EPS,
    AisrmVariant,
    choose_cluster,
    intensity,
    intensity_centre,
    loudness,
    scene_eps,
)
from echoseg_ros.eval.baselines.echosegnet.centre_lifting import centre_pixels, vote_lift
from echoseg_ros.eval.baselines.echosegnet.decompose import decompose
from echoseg_ros.geometry import apply, inverse
from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.mapping.rasterizers.conventions import Rasterizer
from echoseg_ros.types import Camera, Float64Array

# Alpha above which the rendered selection covers a pixel.
SELECTION_ALPHA = 0.8


@dataclass(frozen=True, eq=False)
class TrainViews:
    """Input of the method, in the order of the frames.

    cameras: at the size of the masks; poses: T_map_camera; clips: second of audio of each frame [S, 2], left and right.
    """

    cameras: Sequence[Camera]
    poses: Sequence[Float64Array]
    clips: Sequence[NDArray[np.float32] | None]


@dataclass(frozen=True, eq=False)
class ReferenceMask:
    """Result. chosen: [N] which rows of the map are selected; gaussians: the selected rows after decomposition."""

    chosen: NDArray[np.bool_]
    gaussians: Gaussians

    def mask(self, rasterizer: Rasterizer, camera: Camera, T_map_camera: Float64Array) -> NDArray[np.bool_]:
        """[H, W] where the selected Gaussians, rendered alone, have an alpha above SELECTION_ALPHA; walls do not hide them."""
        if not len(self.gaussians):
            return np.zeros((camera.height, camera.width), bool)
        with torch.no_grad():
            alpha = rasterizer.render(self.gaussians, camera, T_map_camera).alpha
        return np.asarray(alpha.cpu().numpy() > SELECTION_ALPHA)


class EchoSegnet:
    """The method on one map with its train views; everything that does not depend on the 2D masks is computed once."""

    def __init__(self, gaussians: Gaussians, views: TrainViews, T_map_world: Float64Array) -> None:
        self._gaussians = gaussians.map(lambda tensor: tensor.detach().cpu())
        self._views = views
        self._means_map = self._gaussians.means.numpy().astype(float)
        self._pixels = centre_pixels(self._means_map, views.cameras, views.poses)
        T_world_map = inverse(T_map_world)
        self._means_world = apply(T_world_map, self._means_map)
        self._poses_world = [T_world_map @ pose for pose in views.poses]
        self._loud = loudness(views.clips)
        self._intensity: dict[bool, Float64Array] = {}

    def intensity(self, forward_heading: bool) -> Float64Array:
        """[N] audio intensity of the Gaussians (see aisrm.intensity)."""
        if forward_heading not in self._intensity:
            self._intensity[forward_heading] = intensity(
                self._means_world, self._poses_world, self._loud, forward_heading
            )
        return self._intensity[forward_heading]

    def segment(self, masks: Sequence[NDArray[np.bool_] | None], aisrm: AisrmVariant | None) -> ReferenceMask:
        """Lift the masks of the train views, select a cluster by sound (only with `aisrm`), and decompose its Gaussians."""
        chosen = vote_lift(self._pixels, masks)
        if aisrm is not None:
            rows = np.flatnonzero(chosen)
            lifted = self._means_world[rows]
            centre = intensity_centre(self._means_world, self.intensity(aisrm.forward_heading))
            places = np.array([pose[:3, 3] for pose in self._poses_world])
            eps = scene_eps(places, lifted) if aisrm.scaled_eps else EPS
            chosen = np.zeros_like(chosen)
            chosen[rows[choose_cluster(lifted, centre, eps)]] = True
        kept = self._gaussians.map(lambda tensor: tensor[torch.from_numpy(np.flatnonzero(chosen))])
        return ReferenceMask(chosen, decompose(kept, self._views.cameras, self._views.poses, masks))
