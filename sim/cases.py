"""Other sounds in a scene: the same room and way, but another object sounds, or the same one otherwise.

For choosing the object that sounds this is as good as another scene, and costs a second instead of a minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from echoseg_sim.rooms import Room, RoomObject

# In turn over all cases of a benchmark; each object may make each.
SOUNDS = ("beeps", "speech", "noise", "chirp", "pink", "knock", "hum")
_LATE_EVERY, _BLOCKED_EVERY = 6, 6


@dataclass(frozen=True, eq=False)
class Case:
    """item: what sounds; sound: a builtin's name; on_s: when; blocked: something stands on the direct path."""

    item: RoomObject
    sound: str
    on_s: tuple[float, float]
    blocked: bool


def choose_cases(
    room: Room, sounding: str, visible: Sequence[str], count: int, seconds: float, seed: int
) -> list[Case]:
    """`count` cases among the objects named in `visible`: rivals of the sounding one's kind first, then others that can

    sound, then the sounding object itself with other sounds. Every sixth begins in the middle, every sixth is blocked.
    """
    rng = np.random.default_rng([seed, 71])
    own = room.object(sounding)
    able = [item for item in room.objects if item.sound is not None and item.name in visible and item is not own]
    rivals = [item for item in able if item.kind == own.kind]
    others = [item for item in able if item.kind != own.kind]
    order = [rivals[i] for i in rng.permutation(len(rivals))]
    order += [others[i] for i in rng.permutation(len(others))][: max(0, count - len(order) - 1)]
    order.append(own)
    cases = []
    for number in range(count):
        turn = seed * count + number
        start_s = float(seconds // 2) if turn % _LATE_EVERY == 3 else 0.0
        sound = SOUNDS[(turn + number // len(order)) % len(SOUNDS)]
        cases.append(Case(order[number % len(order)], sound, (start_s, seconds), turn % _BLOCKED_EVERY == 5))
    return cases
