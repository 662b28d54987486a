"""Small models with random weights, saved as the published ones are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_models


@pytest.fixture(scope="module")
def models() -> Any:
    """The transformers package; tests that need it are skipped without it."""
    return pytest.importorskip("transformers", reason="needs transformers: pip install 'echoseg_ros[models]'")


@pytest.fixture(scope="module")
def clap_folder(models: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLAP of two small layers."""
    return tiny_models.save_clap(models, tmp_path_factory.mktemp("clap"))


@pytest.fixture(scope="module")
def ast_folder(models: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An AST of one small layer with three classes."""
    import torch

    folder = tmp_path_factory.mktemp("ast")
    config = models.ASTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, max_length=128,
        num_mel_bins=32, id2label={0: "tick", 1: "bark", 2: "rain"},
    )  # fmt: skip
    torch.manual_seed(0)
    models.ASTForAudioClassification(config).save_pretrained(folder)
    models.ASTFeatureExtractor(num_mel_bins=32, max_length=128).save_pretrained(folder)
    return folder
