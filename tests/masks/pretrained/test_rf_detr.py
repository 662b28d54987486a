"""RF-DETR with tiny random weights."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tiny_models

from echoseg_ros.config import MaskConfig
from echoseg_ros.errors import BackendError
from echoseg_ros.masks.factory import make_masks
from echoseg_ros.masks.protocol import MaskBackend
from echoseg_ros.types import CameraFrame, FloatImage

SHAPE = (24, 40)


def backend(folder: Path | str, **settings: Any) -> MaskBackend:
    return make_masks(MaskConfig(backend="rf_detr", model_path=str(folder), **settings))


def answers(models: ModuleType, folder: Path, frame: CameraFrame) -> tuple[FloatImage, FloatImage]:
    """([Q, C] probabilities, [Q, *SHAPE] mask values) of one pass of the model."""
    import torch

    image = torch.from_numpy(frame.rgb).permute(2, 0, 1)[None].float() / 255
    image = torch.nn.functional.interpolate(image, (64, 64), mode="bilinear")
    image = (image - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
        :, None, None
    ]
    with torch.inference_mode():
        found = models.RfDetrForInstanceSegmentation.from_pretrained(folder).eval()(pixel_values=image)
        values = torch.nn.functional.interpolate(found.pred_masks, SHAPE, mode="bilinear")[0]
    return found.logits[0].sigmoid().numpy(), values.numpy()


def test_proposals_are_the_masks_of_the_model_with_its_classes(
    folders: dict[str, Path], models: ModuleType, frame: CameraFrame
) -> None:
    proposal = backend(folders["rf_detr"], min_score=0.0).propose(frame)
    chances, values = answers(models, folders["rf_detr"], frame)
    assert proposal.labels.shape == SHAPE and proposal.backend == "rf_detr" and len(proposal.scores) >= 1
    names = [tiny_models.RF_DETR_NAMES[k] for k in chances.argmax(axis=1)]
    for label, (score, name) in enumerate(zip(proposal.scores, proposal.names), start=1):
        query = int(np.abs(chances.max(axis=1) - score).argmin())
        assert score == pytest.approx(chances[query].max(), abs=1e-5) and name == names[query]
        assert (values[query][proposal.labels == label] > -1e-4).all(), "pixels outside the model's mask"


def test_prompts_select_classes(folders: dict[str, Path], models: ModuleType, frame: CameraFrame) -> None:
    proposal = backend(folders["rf_detr"], min_score=0.0, prompts="clock").propose(frame)
    chances, _ = answers(models, folders["rf_detr"], frame)
    assert set(proposal.names) == {"clock"}
    assert proposal.scores.max() <= chances[:, 1].max() + 1e-5
    with pytest.raises(BackendError, match="masks.prompts 'unicorn': the model in .* knows clock, cup, phone"):
        backend(folders["rf_detr"], prompts="cup, unicorn")


def test_unsure_masks_are_unjudged(folders: dict[str, Path], models: ModuleType, frame: CameraFrame) -> None:
    chances, _ = answers(models, folders["rf_detr"], frame)
    best = float(chances.max())
    bound = best * 1.01
    assert bound / 2 < best
    proposal = backend(folders["rf_detr"], min_score=bound).propose(frame)
    assert len(proposal.scores) == 0
    assert set(np.unique(proposal.labels)) == {-1, 0}


def test_a_detector_without_masks_is_refused(models: ModuleType, tmp_path: Path) -> None:
    """transformers would add a head for masks with random weights."""
    tiny_models.save_rf_detr(models, tmp_path, masks=False)
    with pytest.raises(BackendError, match="weights are missing, such as"):
        backend(tmp_path)


def test_a_missing_model_is_named_in_one_line_with_its_licence() -> None:
    with pytest.raises(BackendError, match="masks.model_path is not set.*Roboflow/rf-detr-seg.*Apache-2.0") as caught:
        backend("")
    assert "\n" not in str(caught.value)
