"""Other sounds in a scene: the same room and way, but another object sounds, or the same one otherwise.

For choosing the object that sounds this is as good as another scene, and costs a second instead of a minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from echoseg_sim.rooms.room import Room, RoomObject

# In turn over all cases of a benchmark; each object may make each.
SOUNDS = ("beeps", "speech", "noise", "chirp", "pink", "knock", "hum")
_EVERY = 6  # case begins in the middle, another one is blocked


@dataclass(frozen=True, eq=False)
class SoundCase:
    """item: what sounds; sound: a builtin's name; on_s: when; blocked: something stands on the direct path."""

    item: RoomObject
    sound: str
    on_s: tuple[float, float]
    blocked: bool


def choose_sound_cases(room: Room, own: SoundCase, visible: Sequence[str], count: int, seed: int) -> list[SoundCase]:
    """Other cases than a scene's `own`, among the objects named in `visible`; on_s of `own` is the whole scene.

    Rivals of the sounding one's kind come first, then others that can sound, then the sounding object itself with other
    sounds. Every sixth case begins in the middle, every sixth is blocked.
    """
    rng = np.random.default_rng([seed, 71])
    end_s = own.on_s[1]
    able = [item for item in room.objects if item.sound is not None and item.name in visible and item is not own.item]
    rivals = [item for item in able if item.kind == own.item.kind]
    others = [item for item in able if item.kind != own.item.kind]
    order = [rivals[i] for i in rng.permutation(len(rivals))]
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
