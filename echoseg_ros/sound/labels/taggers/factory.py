"""Who says what a sound is: the one interface, and taggers by name."""

from __future__ import annotations

import importlib
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.config import LabelConfig
from echoseg_ros.errors import BackendError

# Module and class of each tagger; imported only when asked for, so that optional dependencies stay optional.
_TAGGERS = {
    "features": ("echoseg_ros.sound.labels.taggers.rules", "FeatureTagger"),
    "clap": ("echoseg_ros.sound.labels.taggers.clap_model", "ClapTagger"),
    "ast": ("echoseg_ros.sound.labels.taggers.ast_model", "AstTagger"),
}


# The setting that names a tagger's model.
MODEL_PATH = "label.model_path"


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
