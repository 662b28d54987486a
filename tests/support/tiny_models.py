"""Models of the real classes with a few random weights, saved in folders as the published ones are."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import numpy as np

_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_VISION = {
    "backbone_config": {
        "model_type": "sam2_hiera_det_model", "hidden_size": 8, "num_attention_heads": 1, "image_size": [64, 64],
        "embed_dim_per_stage": [8, 16, 32, 64], "num_attention_heads_per_stage": [1, 1, 2, 2],
        "blocks_per_stage": [1, 1, 2, 1], "window_size_per_stage": [4, 2, 2, 2], "global_attention_blocks": [3],
        "window_positional_embedding_background_size": [2, 2],
    },
    "backbone_channel_list": [64, 32, 16, 8], "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
    "fpn_hidden_size": 16,
}  # fmt: skip
_PROMPTS = {"hidden_size": 16, "image_size": 64, "patch_size": 16, "mask_input_channels": 4}
_DECODER = {"hidden_size": 16, "mlp_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "iou_head_depth": 2,
            "iou_head_hidden_dim": 16}  # fmt: skip
_SAM = {"vision_config": _VISION, "prompt_encoder_config": _PROMPTS, "mask_decoder_config": _DECODER}
RF_DETR_NAMES = {0: "cup", 1: "clock", 2: "phone"}


def picture(height: int = 48, width: int = 80, seed: int = 0) -> np.ndarray:
    """[H, W, 3] uint8 of smooth colours."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (height // 8, width // 8, 3))
    return np.repeat(np.repeat(coarse, 8, axis=0), 8, axis=1).astype(np.uint8)


def save_sam2(models: Any, folder: Path, seed: int = 0) -> Path:
    """As transformers saves the model for images."""
    _seed(seed)
    model = models.Sam2Model(models.Sam2Config(**_SAM))
    _spread(model.mask_decoder, 20)
    model.save_pretrained(folder)
    _write(folder / "preprocessor_config.json", _sam_pictures("Sam2ImageProcessor"))
    _write(folder / "processor_config.json", {"processor_class": "Sam2Processor", "target_size": 64})
    return folder


def save_sam2_video(models: Any, folder: Path) -> Path:
    """As facebook/sam2.1-hiera-* are: the video model, and what prepares pictures inside processor_config.json."""
    _seed(0)
    config = models.Sam2VideoConfig(
        **_SAM, image_size=64, memory_attention_hidden_size=16, memory_attention_feed_forward_hidden_size=16,
        memory_attention_num_layers=1, memory_encoder_hidden_size=16, memory_encoder_output_channels=8,
        mask_downsampler_embed_dim=16, memory_fuser_embed_dim=16, memory_fuser_intermediate_dim=16,
    )  # fmt: skip
    models.Sam2VideoModel(config).save_pretrained(folder)
    _write(folder / "processor_config.json", {"image_processor": _sam_pictures("Sam2ImageProcessorFast")})
    return folder


def save_owlv2(models: Any, folder: Path) -> Path:
    letters = list(string.ascii_lowercase)
    # As in the published vocabulary a mark is the first: a text that began with token 0 would be taken for padding.
    words = ["!", "<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    tokenizer = models.CLIPTokenizer(
        vocab={word: k for k, word in enumerate(words)}, merges=[], pad_token="!", model_max_length=24
    )
    text = {"vocab_size": len(words), "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
            "num_attention_heads": 2, "max_position_embeddings": 24, "bos_token_id": 1, "eos_token_id": 2,
            "pad_token_id": 0}  # fmt: skip
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
              "image_size": 64, "patch_size": 16}  # fmt: skip
    _seed(1)
    model = models.Owlv2ForObjectDetection(
        models.Owlv2Config(text_config=text, vision_config=vision, projection_dim=16)
    )
    _spread(model.box_head, 0.1)
    _spread(model.class_head, 0.1)
    model.save_pretrained(folder)
    pictures = models.Owlv2ImageProcessorPil(size={"height": 64, "width": 64})
    models.Owlv2Processor(pictures, tokenizer).save_pretrained(folder)
    return folder


def save_grounding_dino(models: Any, folder: Path) -> Path:
    letters = [*string.ascii_lowercase, "."]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    tokenizer = models.BertTokenizer(vocab={word: k for k, word in enumerate(words)})
    text = {"model_type": "bert", "vocab_size": len(words), "hidden_size": 16, "intermediate_size": 16,
            "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 64}  # fmt: skip
    backbone = {"model_type": "swin", "image_size": 64, "window_size": 2, "embed_dim": 8, "depths": [1, 1, 1, 1],
                "num_heads": [1, 1, 1, 1], "out_indices": [2, 3, 4]}  # fmt: skip
    config = models.GroundingDinoConfig(
        text_config=text, backbone_config=backbone, d_model=32, encoder_layers=1, decoder_layers=2,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, num_queries=7,
        max_text_len=64,
    )  # fmt: skip
    _seed(2)
    model = models.GroundingDinoForObjectDetection(config)
    _spread(model, 4)
    model.save_pretrained(folder)
    pictures = models.GroundingDinoImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96})
    models.GroundingDinoProcessor(pictures, tokenizer).save_pretrained(folder)
    return folder


def save_rf_detr(models: Any, folder: Path, masks: bool = True) -> Path:
    """masks: with the head for instance segmentation; else the published detectors' form."""
    backbone = {"model_type": "rf_detr_dinov2", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
                "mlp_ratio": 2, "image_size": 64, "patch_size": 8, "num_windows": 2,
                "out_features": ["stage1", "stage2"]}  # fmt: skip
    config = models.RfDetrConfig(
        backbone_config=backbone, d_model=16, decoder_layers=1, decoder_ffn_dim=16, decoder_self_attention_heads=2,
        decoder_cross_attention_heads=2, decoder_n_points=2, num_queries=6, group_detr=2, intermediate_size=16,
        id2label=RF_DETR_NAMES,
    )  # fmt: skip
    _seed(3)
    kind = models.RfDetrForInstanceSegmentation if masks else models.RfDetrForObjectDetection
    model = kind(config)
    _spread(model, 4)
    model.save_pretrained(folder)
    pictures = {"image_processor_type": "RfDetrImageProcessor", "size": {"height": 64, "width": 64}, "resample": 2,
                "do_resize": True, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, **_IMAGENET}  # fmt: skip
    _write(folder / "preprocessor_config.json", pictures)
    return folder


def save_clap(models: Any, folder: Path) -> Path:
    """Two small layers; every letter is a token."""
    letters = [chr(code) for code in range(33, 127)] + ["Ġ"]
    vocabulary = {word: k for k, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>", *letters])}
    tokenizer = models.RobertaTokenizer(vocab=vocabulary, merges=[])
    extractor = models.ClapFeatureExtractor(truncation="rand_trunc", padding="repeatpad")
    text = {"vocab_size": len(vocabulary), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 16, "max_position_embeddings": 130}  # fmt: skip
    audio = {"depths": [1, 1], "num_attention_heads": [2, 2], "patch_embeds_hidden_size": 8, "hidden_size": 16,
             "num_hidden_layers": 2}  # fmt: skip
    _seed(0)
    models.ClapModel(models.ClapConfig(text_config=text, audio_config=audio, projection_dim=8)).save_pretrained(folder)
    models.ClapProcessor(extractor, tokenizer).save_pretrained(folder)
    return folder


def _sam_pictures(kind: str) -> dict[str, Any]:
    return {"image_processor_type": kind, "size": {"height": 64, "width": 64}, "mask_size": {"height": 16, "width": 16},
            "resample": 2, "rescale_factor": 1 / 255, **_IMAGENET}  # fmt: skip


def _spread(part: Any, factor: float) -> None:
    """New weights are so near 0 that every query would answer alike: larger ones let the tests tell them apart."""
    import torch

    with torch.no_grad():
        for parameter in part.parameters():
            if parameter.ndim > 1:
                parameter.mul_(factor)


def _seed(seed: int) -> None:
    import torch

    torch.manual_seed(seed)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content))
