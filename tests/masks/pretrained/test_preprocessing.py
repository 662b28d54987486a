"""Images prepared for pretrained models, without torchvision."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tiny_models

from echoseg_ros.errors import BackendError
from echoseg_ros.masks.pretrained.preprocessing import ImagePreprocessor
from echoseg_ros.model_folder import ModelFolder
from echoseg_ros.types import RgbImage

SQUARE: dict[str, Any] = {"size": {"height": 32, "width": 64}, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.1, 0.2, 0.5],
          "rescale_factor": 1 / 255}  # fmt: skip


def folder(path: Path, settings: dict[str, Any], name: str = "preprocessor_config.json") -> ModelFolder:
    (path / name).write_text(json.dumps(settings))
    return ModelFolder("masks.model_path", path)


def test_a_uniform_image_stays_uniform(tmp_path: Path) -> None:
    rgb = np.full((48, 80, 3), (255, 102, 0), np.uint8)
    pixels = ImagePreprocessor.from_folder(folder(tmp_path, SQUARE), smooth=True)(rgb)
    assert pixels.shape == (1, 3, 32, 64)
    for channel, expected in enumerate(((1 - 0.5) / 0.1, (0.4 - 0.4) / 0.2, (0 - 0.3) / 0.5)):
        np.testing.assert_allclose(pixels[0, channel].numpy(), expected, atol=1e-5)


def test_settings_of_newer_folders_are_found_in_processor_config(tmp_path: Path) -> None:
    inner = folder(tmp_path, {"image_processor": SQUARE, "processor_class": "Any"}, "processor_config.json")
    assert ImagePreprocessor.from_folder(inner, smooth=True).size == {"height": 32, "width": 64}


def test_a_folder_without_settings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"masks.model_path .*no preprocessor_config.json"):
        ImagePreprocessor.from_folder(ModelFolder("masks.model_path", tmp_path), smooth=True)
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(BackendError, match=r"masks.model_path .*preprocessor_config.json: "):
        ImagePreprocessor.from_folder(ModelFolder("masks.model_path", tmp_path), smooth=True)


def test_an_incomplete_size_is_refused_unless_the_model_states_one(tmp_path: Path) -> None:
    older = folder(tmp_path, SQUARE | {"size": {"longest_edge": 1024}})
    with pytest.raises(BackendError, match="longest_edge.*: want height and width"):
        ImagePreprocessor.from_folder(older, smooth=True)
    assert ImagePreprocessor.from_folder(older, smooth=True, square_px=64).size == {"height": 64, "width": 64}


@pytest.mark.parametrize(
    ("height", "width", "target"), [(480, 640, (60, 80)), (640, 480, (80, 60)), (100, 400, (25, 100))]
)
def test_sizes_by_edges_keep_the_aspect_ratio(tmp_path: Path, height: int, width: int, target: tuple[int, int]) -> None:
    edges = SQUARE | {"size": {"shortest_edge": 60, "longest_edge": 100}}
    assert ImagePreprocessor.from_folder(folder(tmp_path, edges), smooth=False).target(height, width) == target


@pytest.mark.parametrize("rgb", [tiny_models.picture(), tiny_models.picture(480, 640)], ids=["larger", "smaller"])
@pytest.mark.parametrize("kind", ["Sam2ImageProcessor", "RfDetrImageProcessor"])
def test_input_equals_that_of_the_models_own_processors(
    models: ModuleType, tmp_path: Path, kind: str, rgb: RgbImage
) -> None:
    pytest.importorskip("torchvision", reason="the processors compared with need torchvision")
    processor = getattr(models, kind)(size={"height": 64, "width": 64})
    processor.save_pretrained(tmp_path)
    smooth = kind.startswith("Sam2")
    ours = ImagePreprocessor.from_folder(ModelFolder("masks.model_path", tmp_path), smooth)(rgb)
    theirs = processor(rgb, return_tensors="pt")["pixel_values"]
    # 8-bit values may round either way.
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=0.018 if smooth else 1e-5)
