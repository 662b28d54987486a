"""The recorded kitchen: masks of its objects by a run, against truth masks that lie outside of the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

KITCHEN = "kitchen"


def kitchen_rows(data: Path | None, runs: Path) -> list[dict[str, Any]]:
    """A row for each object: case "kitchen/NAME", mask_iou (mean over views), views; or one that says why there is none.

    data: the folder of recordings or None; runs: where runs may be kept.
    """
    if data is None or not (data / "real_kitchen").is_dir():
        return [{"case": KITCHEN, "skipped": "no recording real_kitchen (--data, ECHOSEG_TEST_DATA)"}]
    return [{"case": KITCHEN, "skipped": "no truth masks of the kitchen's objects"}]
