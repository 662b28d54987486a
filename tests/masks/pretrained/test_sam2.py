"""SAM 2.1 with tiny random weights, prompted with the boxes of a tiny OWLv2."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from echoseg_ros.config import MaskConfig
from echoseg_ros.errors import BackendError
from echoseg_ros.masks.factory import make_masks, wants_full_image
from echoseg_ros.masks.pretrained import sam2
from echoseg_ros.masks.pretrained.boxes import Boxes
from echoseg_ros.masks.pretrained.sam2 import Sam2Masks
from echoseg_ros.types import CameraFrame

SHAPE = (24, 40)


def config(folders: dict[str, Path], model: str = "sam2", detector: str = "owlv2", **settings: Any) -> MaskConfig:
    return MaskConfig(backend="sam2", model_path=str(folders[model]), detector=detector,
                      detector_path=str(folders[detector]), prompts="cup, clock", **settings)  # fmt: skip


def make_sam2(settings: MaskConfig, device: str = "cpu") -> Sam2Masks:
    backend = make_masks(settings, device)
    assert isinstance(backend, Sam2Masks)
    return backend


def many_boxes(count: int) -> Boxes:
    low = np.random.default_rng(0).uniform(0, 30, (count, 2))
    corners = np.hstack([low, low + np.random.default_rng(1).uniform(8, 18, (count, 2))])
    return Boxes(corners.astype(np.float32), np.linspace(0.9, 0.3, count, dtype=np.float32), ("cup",) * count)


def test_boxes_in_several_batches_give_the_same_masks_as_alone(folders: dict[str, Path], frame: CameraFrame) -> None:
    sam, boxes = make_sam2(config(folders)), many_boxes(19)
    masks, quality = sam.segment(frame.rgb, boxes, SHAPE)
    assert masks.shape == (19, *SHAPE) and masks.dtype == bool and quality.shape == (19,)
    for k in (0, 15, 16, 18):
        one = Boxes(boxes.corners_px[[k]], boxes.scores[[k]], boxes.names[:1])
        alone, worth = sam.segment(frame.rgb, one, SHAPE)
        np.testing.assert_array_equal(masks[k], alone[0])
        assert quality[k] == pytest.approx(worth[0], abs=1e-5)
    assert 0 < masks.mean() < 1 and len({mask.tobytes() for mask in masks}) > 1, "uniform masks show no difference"


def test_masks_equal_those_of_the_model_called_directly(
    folders: dict[str, Path], models: ModuleType, frame: CameraFrame
) -> None:
    """Image and boxes at the model's size, one mask a box, resized as logits and not as a mask."""
    import torch

    sam, boxes = make_sam2(config(folders)), many_boxes(3)
    masks, quality = sam.segment(frame.rgb, boxes, SHAPE)
    model = models.Sam2Model.from_pretrained(folders["sam2"]).eval()
    image = torch.from_numpy(frame.rgb).permute(2, 0, 1)[None].float()
    image = torch.nn.functional.interpolate(image, (64, 64), mode="bilinear", antialias=True).round() / 255
    image = (image - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
        :, None, None
    ]
    corners = torch.from_numpy(boxes.corners_px) * torch.tensor([64 / 80, 64 / 48, 64 / 80, 64 / 48])
    with torch.inference_mode():
        found = model(pixel_values=image, input_boxes=corners[None], multimask_output=False)
    logits = torch.nn.functional.interpolate(found.pred_masks[0], SHAPE, mode="bilinear")[:, 0].numpy()
    clear = np.abs(logits) > 1e-4
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(masks[clear], logits[clear] > 0)
    np.testing.assert_allclose(quality, found.iou_scores[0, :, 0].clamp(0, 1).numpy(), atol=1e-5)


@pytest.mark.parametrize("detector", ["owlv2", "grounding_dino"])
def test_labels_have_names_and_the_size_of_the_camera(
    folders: dict[str, Path], frame: CameraFrame, monkeypatch: pytest.MonkeyPatch, detector: str
) -> None:
    monkeypatch.setattr(sam2, "_MIN_QUALITY", 0.0)  # random weights expect a low quality of their masks
    settings = config(folders, detector=detector, min_score=0.0)
    assert wants_full_image(settings)
    proposal = make_masks(settings).propose(frame)
    assert proposal.labels.shape == SHAPE and proposal.labels.dtype == np.int32
    assert proposal.stamp_ns == frame.stamp_ns and proposal.backend == "sam2"
    count = len(proposal.scores)
    assert count >= 1 and len(proposal.names) == count and set(proposal.names) <= {"cup", "clock"}
    assert set(np.unique(proposal.labels)) - {-1, 0} == set(range(1, count + 1))
    assert ((proposal.scores >= 0) & (proposal.scores <= 1)).all()


def test_without_detections_there_are_no_proposals(folders: dict[str, Path], frame: CameraFrame) -> None:
    proposal = make_masks(config(folders, min_score=1.0, max_count=1)).propose(
        dataclasses.replace(frame, rgb=np.zeros_like(frame.rgb))
    )
    assert len(proposal.scores) == 0 and proposal.labels.max() <= 0


def test_the_folder_of_the_video_model_is_accepted(folders: dict[str, Path], frame: CameraFrame) -> None:
    sam = make_sam2(config(folders, model="sam2_video"))
    masks, _ = sam.segment(frame.rgb, many_boxes(2), SHAPE)
    assert masks.shape == (2, *SHAPE)


def test_at_most_the_given_count_is_proposed(
    folders: dict[str, Path], frame: CameraFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sam2, "_MIN_QUALITY", 0.0)
    assert len(make_masks(config(folders, min_score=0.0, max_count=1)).propose(frame).scores) <= 1


def test_a_missing_model_is_named_in_one_line_with_its_licence(folders: dict[str, Path]) -> None:
    missing = dataclasses.replace(config(folders), model_path="/nowhere")
    with pytest.raises(BackendError, match="masks.model_path /nowhere.*facebook/sam2.1.*Apache-2.0") as caught:
        make_masks(missing)
    assert "\n" not in str(caught.value)
    with pytest.raises(BackendError, match="holds a model of type 'rf_detr', want 'sam2'"):
        make_masks(config(folders, model="rf_detr"))


def test_a_missing_or_old_package_is_reported_in_one_line(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setitem(sys.modules, "transformers", SimpleNamespace(__version__="4.0"))
        with pytest.raises(BackendError, match="transformers 4.0 has no Sam2Model: pip install --upgrade transformers"):
            make_masks(config(folders))
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(BackendError, match=r"pip install 'echoseg_ros\[models\]'"):
        make_masks(config(folders))


@pytest.mark.gpu
def test_on_a_gpu_with_16_bit_numbers(folders: dict[str, Path], frame: CameraFrame) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    on_cpu, on_gpu = make_sam2(config(folders)), make_sam2(config(folders), "cuda")
    masks, _ = on_cpu.segment(frame.rgb, many_boxes(5), SHAPE)
    half, _ = on_gpu.segment(frame.rgb, many_boxes(5), SHAPE)
    assert next(on_gpu._model.parameters()).dtype == torch.float16
    assert (masks == half).mean() > 0.97
