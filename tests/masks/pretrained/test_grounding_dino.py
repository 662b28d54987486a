"""Grounding DINO with tiny random weights: boxes equal those of its own processor; names by the tokens of each prompt."""

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

PROMPTS = "Cup, wall clock"


def detector(folder: Path | str, prompts: str = PROMPTS) -> Detector:
    return make_detector(MaskConfig(detector="grounding_dino", detector_path=str(folder), prompts=prompts))


@pytest.mark.parametrize("shape", [(48, 80), (80, 48)])
def test_boxes_equal_those_of_its_own_processor(
    folders: dict[str, Path], models: ModuleType, shape: tuple[int, int]
) -> None:
    import torch

    rgb = tiny_models.picture(*shape)
    found = detector(folders["grounding_dino"]).find(rgb, 0.0)
    processor = models.GroundingDinoProcessor.from_pretrained(folders["grounding_dino"])
    model = models.GroundingDinoForObjectDetection.from_pretrained(folders["grounding_dino"]).eval()
    inputs = processor(text=[["cup", "wall clock"]], images=rgb, return_tensors="pt")
    with torch.inference_mode():
        outputs = model(**inputs)
    (theirs,) = processor.post_process_grounded_object_detection(
        outputs, inputs["input_ids"], threshold=-1.0, target_sizes=[shape]
    )
    np.testing.assert_allclose(found.corners_px, theirs["boxes"].numpy(), atol=1e-3)
    # Tokens, one for each letter: [CLS] c u p . w a l l c l o c k . [SEP]
    tokens = outputs.logits[0].sigmoid().numpy()
    cup, clock = tokens[:, 1:4].max(axis=1), tokens[:, 5:14].max(axis=1)
    np.testing.assert_allclose(found.scores, np.maximum(cup, clock), atol=1e-5)
    assert list(found.names) == ["cup" if first else "wall clock" for first in cup >= clock]
    assert len(set(found.names)) == 2


def test_more_prompts_than_the_model_reads_are_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(BackendError, match=r"masks.prompts: 20 are more than this model reads \(64 tokens\)"):
        detector(folders["grounding_dino"], ", ".join(["kettle"] * 20))


def test_errors_are_one_line(folders: dict[str, Path]) -> None:
    with pytest.raises(BackendError, match="masks.detector_path is not set.*IDEA-Research/grounding-dino.*Apache-2.0"):
        detector("")
    with pytest.raises(BackendError, match="holds a model of type 'owlv2', want 'grounding-dino'"):
        detector(folders["owlv2"])
