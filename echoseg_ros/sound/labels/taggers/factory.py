"""The interface of taggers, and their construction by name."""

from __future__ import annotations

import importlib
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.config import LabelConfig
from echoseg_ros.errors import BackendError

# Module and class of each tagger. A module is imported on demand, because its dependencies are optional.
_TAGGERS = {
    "features": ("echoseg_ros.sound.labels.taggers.rules", "FeatureTagger"),
    "clap": ("echoseg_ros.sound.labels.taggers.clap_model", "ClapTagger"),
    "ast": ("echoseg_ros.sound.labels.taggers.ast_model", "AstTagger"),
}
# The setting that holds the folder of the model.
MODEL_PATH = "label.model_path"


class Tagger(Protocol):
    """Names a sound."""

    def tag(self, signal: NDArray[np.floating[Any]], rate_hz: float) -> list[tuple[str, float]]:
        """(name, probability), most probable first, of a mono signal [S] in [-1, 1]; [] if the signal is too short."""
        ...


def make_tagger(config: LabelConfig) -> Tagger:
    """The tagger of `config.tagger`. Raises BackendError if it is unknown, or its package or model is missing."""
    if config.tagger not in _TAGGERS:
        raise BackendError(f"tagger {config.tagger!r}: want one of {', '.join(_TAGGERS)}")
    module, name = _TAGGERS[config.tagger]
    tagger: Tagger = getattr(importlib.import_module(module), name)(config)
    return tagger
