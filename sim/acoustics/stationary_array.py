"""Audio of an array that stands still at one pose for each second.

The responses from one position are computed once and serve any number of source signals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft

from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.types import Float32Array, Float64Array
from echoseg_sim.acoustics.microphone_signal import to_channels, with_noise
from echoseg_sim.acoustics.receivers import LEAD_SAMPLES, make_receiver, response_length, with_blocked_direct_path
from echoseg_sim.acoustics.reverberation import Shoebox, image_source_model
from echoseg_sim.acoustics.room_reflection import RT60_POSES, reflection_for_array
from echoseg_sim.acoustics.source_signal import SimulatedSource, active_mask, dry_signal


@dataclass(frozen=True, eq=False)
class Responses:
    """Responses from one position at each pose. taps: [F, M, L]; sample LEAD_SAMPLES is the moment of emission."""

    taps: Float32Array


class StationaryArray:
    """An array that stands for one second at each pose, in a room whose walls are the same for all sources.

    rt60_measured_s: T30 of the responses.
    """

    def __init__(
        self,
        shoebox: Shoebox,
        rt60_s: float,
        array: ArrayGeometry,
        poses: Float64Array,
        position_room: Float64Array,
        seed: int,
    ) -> None:
        """Find the walls' reflection with which a source at position_room [3] has the T30 rt60_s > 0.

        poses: [F, 4, 4] T_room_array. Raises ConfigError if the room cannot have that reverberation time.
        """
        self._shoebox, self._rt60_s, self._array, self._poses, self._seed = shoebox, rt60_s, array, poses, seed
        self._receiver = make_receiver(array)
        model = image_source_model(shoebox, position_room, rt60_s, np.random.default_rng([seed, 2, 0]))
        measured_poses = poses[np.linspace(0, len(poses) - 1, RT60_POSES).astype(int)]
        self._reflection, self.rt60_measured_s = reflection_for_array([model], shoebox, rt60_s, array, measured_poses)

    def responses(self, position_room: Float64Array, blocked: bool = False, number: int = 0) -> Responses:
        """Responses from a position [3].

        blocked: an obstacle stands on the direct path; number: chooses the random numbers of the diffuse tail.
        """
        rng = np.random.default_rng([self._seed, 2, number])
        model = image_source_model(self._shoebox, position_room, self._rt60_s, rng)
        image_sources = model.image_sources(self._reflection, self._rt60_s)
        rate_hz = self._array.sample_rate_hz
        length = response_length(self._shoebox, self._rt60_s, rate_hz)
        receiver = with_blocked_direct_path(self._receiver, rate_hz) if blocked else self._receiver
        return Responses(receiver.responses(image_sources, self._poses, length))

    def record(self, sources: Sequence[tuple[SimulatedSource, Responses]], snr_db: float, seed: int) -> Float32Array:
        """Audio [S, channels] of F consecutive seconds, each at its own pose; noise as in simulate_array."""
        rate_hz = self._array.sample_rate_hz
        second = int(round(rate_hz))
        count = second * len(self._poses)
        received = np.zeros((self._array.microphones, count), dtype=np.float32)
        for source, responses in sources:
            received += _convolved_by_second(source.gain * dry_signal(source, count, rate_hz), responses.taps, second)
        active = active_mask([source for source, _ in sources], count, rate_hz)
        return to_channels(with_noise(received, active, snr_db, np.random.default_rng([seed, 1])), self._array)


def _convolved_by_second(dry: Float64Array, taps: Float32Array, second: int) -> Float32Array:
    """Microphone signals [M, S] of the dry signal [S]; taps: [F, M, L] responses of each second of `second` samples."""
    frames, microphones, length = taps.shape
    padded = np.concatenate([np.zeros(length - 1 - LEAD_SAMPLES), dry, np.zeros(LEAD_SAMPLES)]).astype(np.float32)
    segment = length - 1 + second
    size = fft.next_fast_len(segment, real=True)
    out = np.zeros((microphones, frames * second), dtype=np.float32)
    for frame in range(frames):
        piece = padded[frame * second : frame * second + segment]
        if not piece.any():
            continue
        convolved = fft.irfft(fft.rfft(piece, size) * fft.rfft(taps[frame], size), size)
        out[:, frame * second : (frame + 1) * second] = convolved[:, length - 1 : length - 1 + second]
    return out
