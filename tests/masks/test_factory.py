"""Mask backends by name."""

import dataclasses

import pytest

from echoseg_ros.config import MaskConfig
from echoseg_ros.errors import BackendError
from echoseg_ros.masks.auto_masks import AutoMasks
from echoseg_ros.masks.factory import make_masks, wants_full_image
from echoseg_ros.masks.network.network_masks import NetworkMasks


def test_the_default_backend_is_auto() -> None:
    assert isinstance(make_masks(MaskConfig()), AutoMasks)


def test_an_unknown_backend_is_named_with_the_known_ones() -> None:
    with pytest.raises(BackendError, match="'magic'.*geometric"):
        make_masks(dataclasses.replace(MaskConfig(), backend="magic"))


def test_the_network_is_made_by_name() -> None:
    assert isinstance(make_masks(MaskConfig(backend="network")), NetworkMasks)


@pytest.mark.parametrize(
    ("backend", "full"), [("auto", False), ("geometric", False), ("topic", False), ("sam2", True), ("rf_detr", True)]
)
def test_only_pretrained_models_take_the_full_image(backend: str, full: bool) -> None:
    assert wants_full_image(MaskConfig(backend=backend)) is full
