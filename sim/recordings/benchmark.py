"""Scenes of the simulated benchmark: rooms, kinds of sounding objects and conditions, spread evenly as in 3DAVS-S34-O7.

That data set has 34 scenes with 7 kinds of sounding objects in the bathrooms, kitchens and living rooms of four flats.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from echoseg_ros.errors import ConfigError
from echoseg_ros.io.dataset import INSTANCES
from echoseg_sim.rooms.home_rooms import HomeRoom

# Number of scenes.
SCENES = 34
# Number of flats.
_FLATS = 4
# Kind of the sounding object in successive scenes of a room's use: even positions for part_1, odd ones for part_2. Each kind
# has 4 or 5 of the 34 scenes.
_SOUNDING = {
    "bathroom": ("washing_machine", "fan", "fan", "washing_machine", "radio", "alarm_clock", "washing_machine", "fan",
                 "fan", "washing_machine", "alarm_clock", "radio"),
    "kitchen": ("microwave", "coffee_maker", "coffee_maker", "microwave", "microwave", "washing_machine", "radio",
                "microwave", "coffee_maker", "coffee_maker", "microwave", "coffee_maker"),
    "living_room": ("phone", "alarm_clock", "alarm_clock", "phone", "radio", "phone", "phone", "radio", "alarm_clock",
                    "phone"),
}  # fmt: skip
# Requested share of frames without the object in successive scenes; 0.425 on average, as in the data set.
_EMPTY = tuple(count / 15 for count in (5, 7, 6, 8, 7, 6, 6, 6))
# Of five successive part_2 scenes, those at these positions have two objects of the kind a metre apart.
_PAIRS, _PAIR_AT = 5, (1, 3)
# Of six successive scenes of a part, the one at this position has a blocked direct path.
_BLOCKED_EVERY, _BLOCKED_AT = 6, {"single": 3, "multi": 5}
# Seeds of a benchmark's scenes are multiples of this by the benchmark's seed, plus the scene's number.
_SEEDS_PER_BENCHMARK = 1000


@dataclass(frozen=True)
class SceneSpec:
    """One scene of the benchmark.

    home: the room and its sounding object; empty: requested share of frames without the object; blocked: an obstacle stands
    on the direct path.
    """

    part: str
    flat: str
    index: int
    home: HomeRoom
    empty: float
    blocked: bool
    seed: int

    @property
    def folder(self) -> Path:
        """Folder of the scene below the data set's root: part/flat/use of the room/index."""
        return Path(self.part) / self.flat / self.home.use / str(self.index)

    def as_json(self) -> dict[str, Any]:
        """All fields, for the scene's truth.json."""
        return asdict(self)


def benchmark_scenes(count: int = SCENES, seed: int = 0) -> list[SceneSpec]:
    """The first scenes of the benchmark, alternately of part_1 (one object of the kind) and part_2 (two or three).

    Raises ConfigError if `count` is below 1.
    """
    if count < 1:
        raise ConfigError(f"{count} scenes: want at least 1")
    return [_scene(number, seed) for number in range(count)]


def _scene(number: int, seed: int) -> SceneSpec:
    part, instances = list(INSTANCES.items())[number % 2]
    position = number // 2  # among the scenes of its part
    use = list(_SOUNDING)[position % len(_SOUNDING)]
    kinds = _SOUNDING[use]
    turn = position // len(_SOUNDING)
    multi = instances == "multi"
    pair = multi and position % _PAIRS in _PAIR_AT
    objects = 2 + (position + turn) % 2 if multi else 1
    return SceneSpec(
        part=part,
        flat=f"flat_{1 + position % _FLATS}",
        index=1 + position // (len(_SOUNDING) * _FLATS),
        home=HomeRoom(use, kinds[(2 * turn + number % 2) % len(kinds)], objects, pair),
        empty=_EMPTY[(position + 3 * multi) % len(_EMPTY)],
        blocked=position % _BLOCKED_EVERY == _BLOCKED_AT[instances],
        seed=_SEEDS_PER_BENCHMARK * seed + number,
    )
