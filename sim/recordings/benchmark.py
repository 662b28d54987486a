"""Which scenes the benchmark holds: rooms, sounding kinds and conditions spread evenly, as in 3DAVS-S34-O7.

That data set has 34 scenes of 7 kinds of sounding objects in the bathrooms, kitchens and living rooms of four flats.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from echoseg_ros.errors import ConfigError
from echoseg_ros.io.dataset import INSTANCES
from echoseg_sim.rooms.home_rooms import HomeRoom

SCENES = 34
_FLATS = 4
# What sounds at each visit to a kind of room; even visits are of part_1, odd ones of part_2. 34 scenes hold each 4 or 5 times.
_SOUNDING = {
    "bathroom": ("washing_machine", "fan", "fan", "washing_machine", "radio", "alarm_clock", "washing_machine", "fan",
                 "fan", "washing_machine", "alarm_clock", "radio"),
    "kitchen": ("microwave", "coffee_maker", "coffee_maker", "microwave", "microwave", "washing_machine", "radio",
                "microwave", "coffee_maker", "coffee_maker", "microwave", "coffee_maker"),
    "living_room": ("phone", "alarm_clock", "alarm_clock", "phone", "radio", "phone", "phone", "radio", "alarm_clock",
                    "phone"),
}  # fmt: skip
# The share of frames without the object that scene after scene is wished for; 0.425 on average.
_EMPTY = tuple(count / 15 for count in (5, 7, 6, 8, 7, 6, 6, 6))
_PAIRS, _PAIR_AT = 5, (1, 3)  # of five part_2 scenes these have two objects of the kind a metre apart
_BLOCKED_EVERY, _BLOCKED_AT = 6, {"single": 3, "multi": 5}


@dataclass(frozen=True)
class SceneSpec:
    """One scene. home: the room and what sounds in it; empty: wished share of frames without the object.

    blocked: something stands on the direct path of the sound.
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
        """Where it lies below the data set's root: part/flat/room/index."""
        return Path(self.part) / self.flat / self.home.use / str(self.index)

    def as_json(self) -> dict[str, Any]:
        """Everything that decides what the scene is."""
        return asdict(self)


def benchmark_scenes(count: int = SCENES, seed: int = 0) -> list[SceneSpec]:
    """The first scenes of the benchmark, in turn of part_1 (one object of the kind) and part_2 (two or three)."""
    if count < 1:
        raise ConfigError(f"{count} scenes: want at least 1")
    return [_scene(number, seed) for number in range(count)]


def _scene(number: int, seed: int) -> SceneSpec:
    part, instances = list(INSTANCES.items())[number % 2]
    place = number // 2  # in its part
    use = list(_SOUNDING)[place % len(_SOUNDING)]
    kinds = _SOUNDING[use]
    visit = place // len(_SOUNDING)
    multi = instances == "multi"
    pair = multi and place % _PAIRS in _PAIR_AT
    objects = 2 + (place + visit) % 2 if multi else 1
    return SceneSpec(
        part=part,
        flat=f"flat_{1 + place % _FLATS}",
        index=1 + place // (len(_SOUNDING) * _FLATS),
        home=HomeRoom(use, kinds[(2 * visit + number % 2) % len(kinds)], objects, pair),
        empty=_EMPTY[(place + 3 * multi) % len(_EMPTY)],
        blocked=place % _BLOCKED_EVERY == _BLOCKED_AT[instances],
        seed=1000 * seed + number,
    )
