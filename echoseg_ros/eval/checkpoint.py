"""Long work that can be cut off: its state in a file, good only for the code and the settings that made it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from echoseg_ros.io.files import replacing


def save_checkpoint(path: Path, key: object, state: object) -> None:
    """Write a state atomically. key: what must be the same for it to be used again; both anything pickle takes."""
    with replacing(path) as temporary:
        temporary.write_bytes(pickle.dumps((key, state)))


def load_checkpoint(path: Path, key: object) -> Any | None:
    """The state saved under that key; None if there is none, or one of another key or of code that is gone.

    Only for files of one's own: what a pickle says is executed.
    """
    try:
        saved_key, state = pickle.loads(path.read_bytes())
    except (OSError, EOFError, pickle.UnpicklingError, AttributeError, ImportError, TypeError, ValueError):
        return None
    return state if saved_key == key else None
