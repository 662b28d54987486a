"""Search for the reflection of a room's walls that gives an array the requested reverberation time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.types import Float64Array
from echoseg_sim.acoustics.receivers import LEAD_SAMPLES, FreeFieldReceiver
from echoseg_sim.acoustics.reverberation import (
    TAIL_LENGTH_RT60,
    ImageSourceModel,
    Shoebox,
    find_reflection,
    reverberation_time,
)

# Poses along the path at which T30 is measured.
RT60_POSES = 6
# The measured responses are this much longer than the diffuse tail, s.
_TAIL_MARGIN_S = 0.02


def reflection_for_array(
    models: Sequence[ImageSourceModel], shoebox: Shoebox, rt60_s: float, array: ArrayGeometry, poses: Float64Array
) -> tuple[float, float]:
    """Share of the amplitude that the walls reflect, and the measured T30 in seconds.

    models: one for each source; poses: [P, 4, 4] T_map_array; T30 is the mean over sources, poses and microphones, which
    are taken as free-field microphones. Raises ConfigError if the room cannot have that reverberation time.
    """
    length = 2 * LEAD_SAMPLES + int((TAIL_LENGTH_RT60 * rt60_s + _TAIL_MARGIN_S) * array.sample_rate_hz)
    receiver = FreeFieldReceiver(array)

    def measured_rt60(reflection: float) -> float:
        responses = [receiver.responses(model.image_sources(reflection, rt60_s), poses, length) for model in models]
        return reverberation_time(np.stack(responses), array.sample_rate_hz)

    return find_reflection(measured_rt60, shoebox, rt60_s)
