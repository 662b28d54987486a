"""Detectors by name."""

from __future__ import annotations

import pytest

from echoseg_ros.config import MaskConfig
from echoseg_ros.errors import BackendError
from echoseg_ros.masks.pretrained.factory import make_detector


def test_an_unknown_detector_is_named_with_the_known_ones() -> None:
    with pytest.raises(BackendError, match="'magic'.*owlv2, grounding_dino"):
        make_detector(MaskConfig(detector="magic"))
