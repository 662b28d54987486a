"""Geometry for views with depth of a sensor, the network for views whose depth the map made of colour images."""

from __future__ import annotations

from dataclasses import replace

from echoseg_ros.config import MaskConfig
from echoseg_ros.masks.geometric.geometric_masks import GeometricMasks
from echoseg_ros.masks.network.network_masks import NetworkMasks
from echoseg_ros.types import CameraFrame, FloatImage, MaskProposal


class AutoMasks:
    """Chooses for each view the backend that is better for its kind of depth (docs/masks.md)."""

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
        """See MaskBackend. `backend` of the result names the backend that made the proposals."""
        backend = self._network if frame.depth_m is None else self._geometric
        return backend.propose(frame, rendered_depth_m, rendered_alpha)
