"""OWLv2 with tiny random weights: boxes, scores and names equal those of its own processor."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tiny_models

from echoseg_ros.config import MaskConfig
from echoseg_ros.errors import BackendError
from echoseg_ros.masks.pretrained.factory import make_detector
from echoseg_ros.masks.pretrained.protocol import Detector

PROMPTS = "cup, wall clock"


def detector(folder: Path | str, prompts: str = PROMPTS) -> Detector:
    return make_detector(MaskConfig(detector="owlv2", detector_path=str(folder), prompts=prompts))


@pytest.mark.parametrize("shape", [(48, 80), (80, 48)])
def test_boxes_and_names_equal_those_of_its_own_processor(
    folders: dict[str, Path], models: ModuleType, shape: tuple[int, int]
) -> None:
    import torch

    rgb = tiny_models.picture(*shape)
    found = detector(folders["owlv2"]).find(rgb, 0.0)
    processor = models.Owlv2Processor.from_pretrained(folders["owlv2"])
    model = models.Owlv2ForObjectDetection.from_pretrained(folders["owlv2"]).eval()
    texts = [["a photo of a cup", "a photo of a wall clock"]]
    inputs = processor(text=texts, images=rgb, return_tensors="pt")
    with torch.inference_mode():
        outputs = model(**inputs)
    (theirs,) = processor.post_process_grounded_object_detection(
        outputs, threshold=-1.0, target_sizes=[shape], text_labels=[["cup", "wall clock"]]
    )
    np.testing.assert_allclose(found.corners_px, theirs["boxes"].numpy(), atol=1e-3)
    np.testing.assert_allclose(found.scores, theirs["scores"].numpy(), atol=1e-5)
    assert list(found.names) == theirs["text_labels"] and len(set(found.names)) == 2


def test_only_boxes_with_the_least_score_are_returned(folders: dict[str, Path]) -> None:
    rgb = tiny_models.picture()
    every = detector(folders["owlv2"]).find(rgb, 0.0)
    bound = float(np.median(every.scores))
    some = detector(folders["owlv2"]).find(rgb, bound)
    np.testing.assert_array_equal(some.scores, every.scores[every.scores >= bound])
    assert 0 < len(some.names) < len(every.names)
    assert detector(folders["owlv2"]).find(rgb, 1.0).corners_px.shape == (0, 4)


def test_errors_are_one_line(folders: dict[str, Path]) -> None:
    with pytest.raises(BackendError, match="masks.detector_path /nowhere.*google/owlv2.*Apache-2.0") as caught:
        detector("/nowhere")
    assert "\n" not in str(caught.value)
    with pytest.raises(BackendError, match="masks.prompts is empty"):
        detector(folders["owlv2"], " , ")
    with pytest.raises(BackendError, match="holds a model of type 'grounding-dino', want 'owlv2'"):
        detector(folders["grounding_dino"])
