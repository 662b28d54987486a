"""Geometry where a depth sensor has looked, the network where depth is only what a map of colour images made of it."""

from __future__ import annotations

from dataclasses import replace

from echoseg_ros.config import MaskConfig
from echoseg_ros.masks.geometric.geometric_masks import GeometricMasks
from echoseg_ros.masks.network.network_masks import NetworkMasks
from echoseg_ros.types import CameraFrame, FloatImage, MaskProposal


class AutoMasks:
    """Takes for each view the backend that was found better at its kind of depth (docs/masks.md)."""

    def __init__(self, config: MaskConfig | None = None) -> None:
        """Raises BackendError if the network's weights cannot be read."""
        config = config or MaskConfig(backend="auto")
        self._geometric = GeometricMasks(replace(config, backend="geometric"))
        self._network = NetworkMasks(replace(config, backend="network"))

    def propose(
        self,
        frame: CameraFrame,
        rendered_depth_m: FloatImage | None = None,
        rendered_alpha: FloatImage | None = None,
    ) -> MaskProposal:
        """Candidate objects at the size of the frame's camera; `backend` of the result says who proposed them.

        Raises ImageFormatError if a depth image has not the camera's size.
        """
        backend = self._network if frame.depth_m is None else self._geometric
        return backend.propose(frame, rendered_depth_m, rendered_alpha)
