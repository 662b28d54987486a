"""Rooms for the training and the evaluation of the mask network."""

from __future__ import annotations

import numpy as np

from echoseg_sim.rooms.home_rooms import ROOM_TYPES, HomeRoom
from echoseg_sim.rooms.room import Room, make_room


def training_room(seed: int) -> Room:
    """A room as a function of its seed: one in four is a general room, the others are rooms of a home.

    Raises ValueError if no layout of the seed fits.
    """
    rng = np.random.default_rng([seed, 43])
    if seed % 4 == 0:
        return make_room(seed, "multi" if rng.random() < 0.3 else "single")
    count = int(rng.choice([1, 1, 2, 3]))
    home = HomeRoom(str(rng.choice(sorted(ROOM_TYPES))), count=count, pair=count > 1 and bool(rng.random() < 0.5))
    return make_room(seed, home=home)
