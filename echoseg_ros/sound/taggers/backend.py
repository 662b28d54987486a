"""Who says what a sound is: the one interface, and taggers by name."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.config import LabelConfig
from echoseg_ros.errors import BackendError

# Module and class of each tagger; imported only when asked for, so that optional dependencies stay optional.
_TAGGERS = {
    "features": ("echoseg_ros.sound.taggers.rules", "FeatureTagger"),
    "clap": ("echoseg_ros.sound.taggers.clap_model", "ClapTagger"),
    "ast": ("echoseg_ros.sound.taggers.ast_model", "AstTagger"),
}


class Tagger(Protocol):
    """Names a sound."""

    def tag(self, signal: NDArray[np.floating], rate_hz: float) -> list[tuple[str, float]]:
        """(label, probability), best first, of a mono signal [S] in [-1, 1] at any rate; [] where nothing can be said."""
        ...


def make_tagger(config: LabelConfig) -> Tagger:
    """The tagger that `config.tagger` names. Raises BackendError if it is unknown or lacks its package or its files."""
    if config.tagger not in _TAGGERS:
        raise BackendError(f"tagger {config.tagger!r}: want one of {', '.join(_TAGGERS)}")
    module, name = _TAGGERS[config.tagger]
    tagger: Tagger = getattr(importlib.import_module(module), name)(config)
    return tagger


def import_transformers() -> Any:
    """The package transformers. Raises BackendError where it is not installed."""
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise BackendError(
            f"this tagger needs the package transformers (Apache-2.0): pip install 'echoseg_ros[models]' ({error})"
        ) from error


def model_folder(path: str, known: str) -> Path:
    """The local folder of a model. Raises BackendError, naming `known`, a model to download, if it is none."""
    folder = Path(path).expanduser()
    if path and (folder / "config.json").is_file():
        return folder
    what = f"{path}: no config.json there" if path else "is not set"
    raise BackendError(f"label.model_path {what}: want the local folder of a model, such as {known}")


def load_part(part: Any, folder: Path) -> Any:
    """A class of transformers, such as a processor, from local files only. Raises BackendError in one line if it is not there."""
    return _loaded(part, folder)


def load_model(part: Any, folder: Path) -> Any:
    """The same for a model, ready to be asked. Weights that are missing are an error: the package would invent them."""
    kind = json.loads((folder / "config.json").read_text()).get("model_type")
    if kind != part.config_class.model_type:
        raise BackendError(
            f"label.model_path {folder}: holds a model of type {kind!r}, want {part.config_class.model_type!r}"
        )
    model, report = _loaded(part, folder, output_loading_info=True)
    missing = sorted(report["missing_keys"])
    if missing:
        raise BackendError(f"label.model_path {folder}: {len(missing)} weights are missing, such as {missing[0]}")
    return model.eval()


def _loaded(part: Any, folder: Path, **options: Any) -> Any:
    try:
        return part.from_pretrained(folder, local_files_only=True, **options)
    except Exception as error:  # the package raises whatever its readers raise
        line = str(error).strip().splitlines() or [type(error).__name__]
        raise BackendError(f"label.model_path {folder}: no {part.__name__} there ({line[0]})") from error
