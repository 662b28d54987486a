"""What an array hears that stands still for each second: the responses of a place are made once for any number of sounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from echoseg_ros.sound.array.array_geometry import SPEED_OF_SOUND_M_PER_S, ArrayGeometry
from echoseg_ros.types import Float64Array
from echoseg_sim.acoustics.array_audio import (
    SimulatedSource,
    active_mask,
    dry_signal,
    to_channels,
    with_blocked_direct_path,
    with_noise,
)
from echoseg_sim.acoustics.receivers import LEAD_SAMPLES, FreeFieldReceiver, make_receiver
from echoseg_sim.acoustics.reverberation import (
    TAIL_LENGTH_RT60,
    Shoebox,
    find_reflection,
    image_source_model,
    reverberation_time,
)

_RT60_POSES = 6


@dataclass(frozen=True, eq=False)
class Responses:
    """From one place to the array at each of its poses: [F, M, L] float32; sample LEAD is the moment of the sound."""

    taps: NDArray[np.float32]


class StationaryArray:
    """An array at poses T_room_array [F, 4, 4], a second at each, in a room whose walls are the same for all sources."""

    def __init__(
        self,
        shoebox: Shoebox,
        rt60_s: float,
        array: ArrayGeometry,
        poses: Float64Array,
        place_room: Float64Array,
        seed: int,
    ) -> None:
        """The walls' reflection is found so that a source at place_room [3] is heard with that T30 (rt60_s > 0)."""
        self._shoebox, self._rt60_s, self._array, self._poses, self._seed = shoebox, rt60_s, array, poses, seed
        self._receiver = make_receiver(array)
        pattern = image_source_model(shoebox, place_room, rt60_s, np.random.default_rng([seed, 2, 0]))
        some = poses[np.linspace(0, len(poses) - 1, _RT60_POSES).astype(int)]
        length = 2 * LEAD_SAMPLES + int((TAIL_LENGTH_RT60 * rt60_s + 0.02) * array.sample_rate_hz)
        ears = FreeFieldReceiver(array)

        def measured_rt60(reflection: float) -> float:
            responses = ears.responses(pattern.image_sources(reflection, rt60_s), some, length)
            return reverberation_time(responses, array.sample_rate_hz)

        self._reflection, self.rt60_measured_s = find_reflection(measured_rt60, shoebox, rt60_s)

    def responses(self, place_room: Float64Array, blocked: bool = False, number: int = 0) -> Responses:
        """From a place [3] that sounds; blocked: something stands on the direct path; number: of the diffuse tail."""
        rng = np.random.default_rng([self._seed, 2, number])
        image_sources = image_source_model(self._shoebox, place_room, self._rt60_s, rng).image_sources(
            self._reflection, self._rt60_s
        )
        reach_s = TAIL_LENGTH_RT60 * self._rt60_s + float(np.linalg.norm(self._shoebox.size_m)) / SPEED_OF_SOUND_M_PER_S
        length = 2 * LEAD_SAMPLES + int(np.ceil((reach_s + 0.01) * self._array.sample_rate_hz))
        receiver = with_blocked_direct_path(self._receiver, blocked, self._array.sample_rate_hz)
        return Responses(receiver.responses(image_sources, self._poses, length))

    def record(
        self, sources: Sequence[tuple[SimulatedSource, Responses]], snr_db: float, seed: int
    ) -> NDArray[np.float32]:
        """[S, channels] F seconds one after the other, each as heard from its own pose, with noise as simulate_array's."""
        rate_hz = self._array.sample_rate_hz
        second = int(round(rate_hz))
        count = second * len(self._poses)
        heard = np.zeros((self._array.microphones, count), dtype=np.float32)
        for source, responses in sources:
            heard += _convolved(source.gain * dry_signal(source, count, rate_hz), responses.taps, second)
        on = active_mask([source for source, _ in sources], count, rate_hz)
        return to_channels(with_noise(heard, on, snr_db, np.random.default_rng([seed, 1])), self._array)


def _convolved(dry: Float64Array, taps: NDArray[np.float32], second: int) -> NDArray[np.float32]:
    """[M, S] the dry signal [S], each second of it heard through the responses of that second [F, M, L]."""
    frames, microphones, length = taps.shape
    padded = np.concatenate([np.zeros(length - 1 - LEAD_SAMPLES), dry, np.zeros(LEAD_SAMPLES)]).astype(np.float32)
    segment = length - 1 + second
    size = fft.next_fast_len(segment, real=True)
    out = np.zeros((microphones, frames * second), dtype=np.float32)
    for frame in range(frames):
        piece = padded[frame * second : frame * second + segment]
        if not piece.any():
            continue
        heard = fft.irfft(fft.rfft(piece, size) * fft.rfft(taps[frame], size), size)
        out[:, frame * second : (frame + 1) * second] = heard[:, length - 1 : length - 1 + second]
    return out
