"""Sound cases of a scene: the same room and viewpoints, but another object sounds, or the same object with another sound.

A sound case tests the choice of the sounding object like another scene does, and is simulated in a second, not a minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from echoseg_sim.rooms.object_placement import RoomObject
from echoseg_sim.rooms.room import Room

# Built-in sounds of the cases, used in turn; every object can have each of them.
SOUNDS = ("beeps", "speech", "noise", "chirp", "pink", "knock", "hum")
# One case of this many starts in the middle of the scene, and another one is blocked.
_EVERY = 6


@dataclass(frozen=True, eq=False)
class SoundCase:
    """A sounding object and its sound.

    sound: name of a built-in sound; on_s: interval in seconds; blocked: an obstacle stands on the direct path.
    """

    item: RoomObject
    sound: str
    on_s: tuple[float, float]
    blocked: bool


def choose_sound_cases(room: Room, own: SoundCase, visible: Sequence[str], count: int, seed: int) -> list[SoundCase]:
    """Sound cases of the objects named in `visible`. own: the scene's own case, on during the whole scene.

    The objects come in this order: others of the sounding object's kind, other kinds that can sound, the sounding object
    with another sound. One case in six starts in the middle of the scene, and one in six is blocked.
    """
    rng = np.random.default_rng([seed, 71])
    end_s = own.on_s[1]
    candidates = [
        item for item in room.objects if item.sound is not None and item.name in visible and item is not own.item
    ]
    same_kind = [item for item in candidates if item.kind == own.item.kind]
    others = [item for item in candidates if item.kind != own.item.kind]
    order = [same_kind[i] for i in rng.permutation(len(same_kind))]
    order += [others[i] for i in rng.permutation(len(others))][: max(0, count - len(order) - 1)]
    order.append(own.item)
    cases = []
    for number in range(count):
        turn = seed * count + number
        item = order[number % len(order)]
        sounds = [sound for sound in SOUNDS if item is not own.item or sound != own.sound]
        start_s = float(end_s // 2) if (seed + number) % _EVERY == 0 else 0.0
        sound = sounds[turn % len(sounds)]
        cases.append(SoundCase(item, sound, (start_s, end_s), (seed + number) % _EVERY == _EVERY // 2))
    return cases
