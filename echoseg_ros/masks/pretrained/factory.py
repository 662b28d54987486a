"""Makes detectors by name."""

from __future__ import annotations

import importlib

from echoseg_ros.config import MaskConfig
from echoseg_ros.errors import BackendError
from echoseg_ros.masks.pretrained.protocol import Detector

# Module and class of each detector; imported on demand, because their package is optional.
_DETECTORS = {
    "owlv2": ("echoseg_ros.masks.pretrained.owlv2", "Owlv2Detector"),
    "grounding_dino": ("echoseg_ros.masks.pretrained.grounding_dino", "GroundingDinoDetector"),
}


def make_detector(config: MaskConfig, device: str = "cpu") -> Detector:
    """The detector that `config.detector` names.

    Raises BackendError for an unknown name, a missing package, missing files or empty prompts.
    """
    if config.detector not in _DETECTORS:
        raise BackendError(f"masks.detector {config.detector!r} is unknown: want one of {', '.join(_DETECTORS)}")
    module, name = _DETECTORS[config.detector]
    detector: Detector = getattr(importlib.import_module(module), name)(config, device)
    return detector
