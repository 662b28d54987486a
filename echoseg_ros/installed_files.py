"""Where the files of config/ lie: in the source tree or where the package was installed."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def config_folders() -> list[Path]:
    """Folders that may hold the files of config/, best first: the source tree, sys.prefix, then AMENT_PREFIX_PATH."""
    prefixes = [sys.prefix, *filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep))]
    roots = [Path(__file__).resolve().parents[1], *(Path(p) / "share" / "echoseg_ros" for p in prefixes)]
    return [root / "config" for root in roots]


def config_file(name: str) -> Path | None:
    """The file of that name relative to config/ ("arrays/cube8.yaml"); None where no folder holds it."""
    return next((folder / name for folder in config_folders() if (folder / name).is_file()), None)
