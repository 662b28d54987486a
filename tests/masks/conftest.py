"""Folders with tiny models of the real classes, and a frame to show them."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_models

from echoseg_ros.types import Camera, CameraFrame


@pytest.fixture(scope="session")
def models():
    return pytest.importorskip("transformers", reason="needs transformers: pip install 'echoseg_ros[models]'")


@pytest.fixture(scope="session")
def folders(models, tmp_path_factory):
    """Name of a model -> its folder."""
    root = tmp_path_factory.mktemp("models")
    makers = {
        "sam2": tiny_models.save_sam2,
        "sam2_video": tiny_models.save_sam2_video,
        "owlv2": tiny_models.save_owlv2,
        "grounding_dino": tiny_models.save_grounding_dino,
        "rf_detr": tiny_models.save_rf_detr,
    }
    for name, save in makers.items():
        (root / name).mkdir()
        save(models, root / name)
    return {name: root / name for name in makers}


@pytest.fixture
def frame() -> CameraFrame:
    """An image of 80 x 48 for a camera of 40 x 24, as the map has it."""
    return CameraFrame(7_000, 0, Camera(40, 24, 30.0, 30.0, 20.0, 12.0), tiny_models.picture(), None, np.eye(4))
