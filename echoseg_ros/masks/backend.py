"""Who proposes masks: the one interface, and backends by name."""

from __future__ import annotations

import importlib
from typing import Protocol

from echoseg_ros.config import MaskConfig
from echoseg_ros.errors import BackendError
from echoseg_ros.types import CameraFrame, FloatImage, MaskProposal

# Module and class of each backend; imported only when asked for, so that optional dependencies stay optional.
_BACKENDS = {"geometric": ("echoseg_ros.masks.geometric", "GeometricMasks")}


class MaskBackend(Protocol):
    """Proposes candidate objects in a keyframe."""

    def propose(
        self,
        frame: CameraFrame,
        rendered_depth_m: FloatImage | None = None,
        rendered_alpha: FloatImage | None = None,
    ) -> MaskProposal:
        """Candidate objects of a keyframe, at the size of `frame.camera`.

        frame: rgb and depth at the camera's size; rendered_depth_m, rendered_alpha: [H, W] the map seen from the
        frame's pose, if there is a map: the depth where the sensor has none.
        """
        ...


def make_masks(config: MaskConfig) -> MaskBackend:
    """The backend that `config.backend` names. Raises BackendError."""
    if config.backend not in _BACKENDS:
        raise BackendError(f"mask backend {config.backend!r}: want one of {', '.join(_BACKENDS)}")
    module, name = _BACKENDS[config.backend]
    backend: MaskBackend = getattr(importlib.import_module(module), name)(config)
    return backend
