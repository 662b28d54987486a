"""Who proposes masks: the one interface, and backends by name."""

from __future__ import annotations

import importlib
from typing import Protocol

from echoseg_ros.config import MaskConfig
from echoseg_ros.errors import BackendError
from echoseg_ros.types import CameraFrame, FloatImage, MaskProposal

# Module and class of each backend; imported only when asked for, so that optional dependencies stay optional.
_BACKENDS = {
    "auto": ("echoseg_ros.masks.auto", "AutoMasks"),
    "geometric": ("echoseg_ros.masks.geometric.geometric_masks", "GeometricMasks"),
    "network": ("echoseg_ros.masks.network.network_masks", "NetworkMasks"),
}
# The same for pretrained models, which run on the map's device and look at the image as the camera took it.
_MODELS = {
    "sam2": ("echoseg_ros.masks.pretrained.sam2", "Sam2Masks"),
    "rf_detr": ("echoseg_ros.masks.pretrained.rf_detr", "RfDetrMasks"),
}
# Not made here: other nodes send the masks (masks.topic), nobody is asked for them.
TOPIC = "topic"


class MaskBackend(Protocol):
    """Proposes candidate objects in a keyframe."""

    def propose(
        self,
        frame: CameraFrame,
        rendered_depth_m: FloatImage | None = None,
        rendered_alpha: FloatImage | None = None,
    ) -> MaskProposal:
        """Candidate objects of a keyframe, at the size of `frame.camera`.

        frame: rgb and depth at the camera's size, rgb of any size for a backend that wants the full image;
        rendered_depth_m, rendered_alpha: [H, W] the map seen from the frame's pose, if there is a map: the depth where
        the sensor has none.
        """
        ...


def make_masks(config: MaskConfig, device: str = "cpu") -> MaskBackend:
    """The backend that `config.backend` names. Raises BackendError if it is unknown or lacks its package or its files."""
    if config.backend in _MODELS:
        module, name = _MODELS[config.backend]
        model: MaskBackend = getattr(importlib.import_module(module), name)(config, device)
        return model
    if config.backend not in _BACKENDS:
        raise BackendError(f"mask backend {config.backend!r}: want one of {', '.join([*_BACKENDS, *_MODELS, TOPIC])}")
    module, name = _BACKENDS[config.backend]
    backend: MaskBackend = getattr(importlib.import_module(module), name)(config)
    return backend


def wants_full_image(config: MaskConfig) -> bool:
    """Whether the backend gets the image as the camera took it, instead of one reduced to the map's resolution."""
    return config.backend in _MODELS
