"""Checkpoints of long computations: a state in a file, valid only for the code and settings that wrote it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from echoseg_ros.io.files import replacing


def save_checkpoint(path: Path, key: object, state: object) -> None:
    """Write a state atomically. key: identifies the code and settings that the state is valid for; both picklable."""
    with replacing(path) as temporary:
        temporary.write_bytes(pickle.dumps((key, state)))


def load_checkpoint(path: Path, key: object) -> Any | None:
    """The state saved with this key; None if the file is missing, damaged, has another key or needs code that is gone.

    Only for trusted files: unpickling executes code from the file.
    """
    try:
        saved_key, state = pickle.loads(path.read_bytes())
    except (OSError, EOFError, pickle.UnpicklingError, AttributeError, ImportError, TypeError, ValueError):
        return None
    return state if saved_key == key else None
