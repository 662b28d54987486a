"""A drawn scene in the place of a data-set scene: three objects, two of them of the sounding kind."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.eval.segment.scene_views import EvalScene, View

# Side of a view, px.
SIZE = 100

# Number of views.
VIEW_COUNT = 400


@dataclass
class DrawnScene:
    """Objects 1 and 2 are of the sounding kind, 3 is not; object 2 is only in every other view."""

    path: Path = Path("/data/part_1/flat/room/1")
    sounding_ids: list[int] = field(default_factory=lambda: [1])
    object_names: list[str] = field(default_factory=lambda: ["a", "b", "c"])

    def ids_of_same_kind(self, of_id: int) -> list[int]:
        return [1, 2]

    def object_ids(self, view: SimpleNamespace) -> NDArray[np.int32]:
        ids = np.zeros((SIZE, SIZE), np.int32)
        ids[20:50, 20:50] = 1
        if view.frame.number % 2:
            ids[60:90, 20:50] = 2
        ids[10:40, 65:95] = 3
        return ids


SCENE = cast(EvalScene, DrawnScene())

VIEWS = [
    cast(View, SimpleNamespace(frame=SimpleNamespace(number=n), camera=SimpleNamespace(height=SIZE, width=SIZE)))
    for n in range(VIEW_COUNT)
]
