"""Loads pretrained models from local folders with the optional package transformers; nothing is downloaded."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from echoseg_ros.errors import BackendError


def import_transformers() -> Any:
    """The package transformers. Raises BackendError if it is not installed."""
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise BackendError(
            f"pretrained models need the package transformers (Apache-2.0): pip install 'echoseg_ros[models]' ({error})"
        ) from error


def model_class(*names: str) -> Any:
    """The first of these classes that the installed transformers has. Raises BackendError if it has none."""
    transformers = import_transformers()
    for name in names:
        if hasattr(transformers, name):
            return getattr(transformers, name)
    raise BackendError(f"transformers {transformers.__version__} has no {names[0]}: pip install --upgrade transformers")


@dataclass(frozen=True)
class ModelFolder:
    """The local folder of a model. setting: the settings key that holds its path, named in error messages."""

    setting: str
    path: Path

    @staticmethod
    def find(setting: str, path: str, recommended: str) -> ModelFolder:
        """The folder at a path.

        recommended: a model that fits, for the error message. Raises BackendError if there is no model at the path.
        """
        folder = Path(path).expanduser()
        if path and (folder / "config.json").is_file():
            return ModelFolder(setting, folder)
        problem = f"{path}: no config.json there" if path else "is not set"
        raise BackendError(f"{setting} {problem}: want the local folder of a model, such as {recommended}")

    def load_component(self, component: Any, **options: Any) -> Any:
        """An object of a class of transformers, such as a processor. Raises BackendError with a message of one line."""
        try:
            return component.from_pretrained(self.path, local_files_only=True, **options)
        except Exception as error:  # transformers documents no common exception class
            line = str(error).strip().splitlines() or [type(error).__name__]
            raise BackendError(f"{self.setting} {self.path}: no {component.__name__} there ({line[0]})") from error

    def load_model(self, model_type: Any, device: str = "cpu", half: bool = False, also: tuple[str, ...] = ()) -> Any:
        """A model in evaluation mode on a device.

        half: 16-bit numbers on CUDA; on a CPU they are slow and coarse. also: further model types whose checkpoints
        include this model. Raises BackendError for another type of model, and for missing weights, which transformers
        would replace by random ones.
        """
        kind = self._json("config.json").get("model_type")
        if kind not in (model_type.config_class.model_type, *also):
            want = model_type.config_class.model_type
            raise BackendError(f"{self.setting} {self.path}: holds a model of type {kind!r}, want {want!r}")
        dtype = torch.float16 if half and device.startswith("cuda") else torch.float32
        model, report = self.load_component(model_type, output_loading_info=True, dtype=dtype)
        missing = sorted(report["missing_keys"])
        if missing:
            raise BackendError(f"{self.setting} {self.path}: {len(missing)} weights are missing, such as {missing[0]}")
        return model.eval().to(device)

    def image_settings(self) -> dict[str, Any]:
        """Settings of image preparation, from processor_config.json (transformers 5) or preprocessor_config.json.

        Raises BackendError if both are missing or cannot be read.
        """
        inside = self._json("processor_config.json").get("image_processor")
        found = inside if isinstance(inside, dict) else self._json("preprocessor_config.json")
        if not found:
            raise BackendError(f"{self.setting} {self.path}: no preprocessor_config.json there")
        return found

    def _json(self, name: str) -> dict[str, Any]:
        """Content of a JSON file, {} if it does not exist. Raises BackendError if it cannot be read."""
        file = self.path / name
        if not file.is_file():
            return {}
        try:
            content = json.loads(file.read_text())
        except (OSError, ValueError) as error:
            raise BackendError(f"{self.setting} {file}: {error}") from error
        return content if isinstance(content, dict) else {}


def split_names(names: str, setting: str, example: str) -> list[str]:
    """The names in a setting that lists names separated by commas. Raises BackendError if there is none."""
    found = [name for name in (text.strip() for text in names.split(",")) if name]
    if not found:
        raise BackendError(f"{setting} is empty: want names separated by commas, such as {example!r}")
    return found
