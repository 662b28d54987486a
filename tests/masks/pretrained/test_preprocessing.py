"""Images as models want them, without torchvision."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_models

from echoseg_ros.errors import BackendError
from echoseg_ros.masks.pretrained.preprocessing import ImagePreprocessor
from echoseg_ros.model_folder import ModelFolder

SQUARE = {"size": {"height": 32, "width": 64}, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.1, 0.2, 0.5],
          "rescale_factor": 1 / 255}  # fmt: skip


def folder(path: Path, settings: dict, name: str = "preprocessor_config.json") -> ModelFolder:
    (path / name).write_text(json.dumps(settings))
    return ModelFolder("masks.model_path", path)


def test_one_colour_stays_one_colour(tmp_path) -> None:
    rgb = np.full((48, 80, 3), (255, 102, 0), np.uint8)
    pixels = ImagePreprocessor.from_folder(folder(tmp_path, SQUARE), smooth=True)(rgb)
    assert pixels.shape == (1, 3, 32, 64)
    for channel, expected in enumerate(((1 - 0.5) / 0.1, (0.4 - 0.4) / 0.2, (0 - 0.3) / 0.5)):
        np.testing.assert_allclose(pixels[0, channel].numpy(), expected, atol=1e-5)


def test_settings_of_newer_folders_are_found_inside_the_processors(tmp_path) -> None:
    inner = folder(tmp_path, {"image_processor": SQUARE, "processor_class": "Any"}, "processor_config.json")
    assert ImagePreprocessor.from_folder(inner, smooth=True).size == {"height": 32, "width": 64}


def test_a_folder_without_settings_is_one_line(tmp_path) -> None:
    with pytest.raises(BackendError, match=r"masks.model_path .*no preprocessor_config.json"):
        ImagePreprocessor.from_folder(ModelFolder("masks.model_path", tmp_path), smooth=True)
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(BackendError, match=r"masks.model_path .*preprocessor_config.json: "):
        ImagePreprocessor.from_folder(ModelFolder("masks.model_path", tmp_path), smooth=True)


def test_a_size_that_says_too_little_is_one_line_unless_the_model_knows_it(tmp_path) -> None:
    older = folder(tmp_path, SQUARE | {"size": {"longest_edge": 1024}})
    with pytest.raises(BackendError, match="longest_edge.*: want height and width"):
        ImagePreprocessor.from_folder(older, smooth=True)
    assert ImagePreprocessor.from_folder(older, smooth=True, square_px=64).size == {"height": 64, "width": 64}


@pytest.mark.parametrize(
    ("height", "width", "target"), [(480, 640, (60, 80)), (640, 480, (80, 60)), (100, 400, (25, 100))]
)
def test_edges_keep_the_shape_of_the_image(tmp_path, height: int, width: int, target: tuple[int, int]) -> None:
    edges = SQUARE | {"size": {"shortest_edge": 60, "longest_edge": 100}}
    assert ImagePreprocessor.from_folder(folder(tmp_path, edges), smooth=False).target(height, width) == target


@pytest.mark.parametrize("rgb", [tiny_models.picture(), tiny_models.picture(480, 640)], ids=["larger", "smaller"])
@pytest.mark.parametrize("kind", ["Sam2ImageProcessor", "RfDetrImageProcessor"])
def test_as_the_models_own_processors(models, tmp_path, kind: str, rgb: np.ndarray) -> None:
    pytest.importorskip("torchvision", reason="the processors compared with need torchvision")
    processor = getattr(models, kind)(size={"height": 64, "width": 64})
    processor.save_pretrained(tmp_path)
    smooth = kind.startswith("Sam2")
    ours = ImagePreprocessor.from_folder(ModelFolder("masks.model_path", tmp_path), smooth)(rgb)
    theirs = processor(rgb, return_tensors="pt")["pixel_values"]
    # Whole numbers of 255 may round either way.
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=0.018 if smooth else 1e-5)
