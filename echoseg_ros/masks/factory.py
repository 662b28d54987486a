"""Makes mask backends by name."""

from __future__ import annotations

import importlib

from echoseg_ros.config import MaskConfig
from echoseg_ros.errors import BackendError
from echoseg_ros.masks.protocol import MaskBackend

# Module and class of each backend of our own; imported on demand, because their dependencies are optional.
_BACKENDS = {
    "auto": ("echoseg_ros.masks.auto_masks", "AutoMasks"),
    "geometric": ("echoseg_ros.masks.geometric.geometric_masks", "GeometricMasks"),
    "network": ("echoseg_ros.masks.network.network_masks", "NetworkMasks"),
}
# Module and class of each pretrained model; these run on the map's device and take the image at full size.
_PRETRAINED = {
    "sam2": ("echoseg_ros.masks.pretrained.sam2", "Sam2Masks"),
    "rf_detr": ("echoseg_ros.masks.pretrained.rf_detr", "RfDetrMasks"),
}
# Setting for masks that another node publishes; there is no backend to make (masks/topic_masks.py).
TOPIC = "topic"


def make_masks(config: MaskConfig, device: str = "cpu") -> MaskBackend:
    """The backend that `config.backend` names.

    device: where pretrained models run. Raises BackendError for an unknown name, a missing package or missing files.
    """
    if config.backend in _PRETRAINED:
        module, name = _PRETRAINED[config.backend]
        model: MaskBackend = getattr(importlib.import_module(module), name)(config, device)
        return model
    if config.backend not in _BACKENDS:
        known = ", ".join([*_BACKENDS, *_PRETRAINED, TOPIC])
        raise BackendError(f"masks.backend {config.backend!r} is unknown: want one of {known}")
    module, name = _BACKENDS[config.backend]
    backend: MaskBackend = getattr(importlib.import_module(module), name)(config)
    return backend


def wants_full_image(config: MaskConfig) -> bool:
    """Whether the backend takes the image at full size instead of the map's resolution."""
    return config.backend in _PRETRAINED
