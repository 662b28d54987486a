"""The labels of the sources and, while someone listens, the beam towards the loudest: in the thread of the sound."""

from __future__ import annotations

import array

import numpy as np
from audio_common_msgs.msg import AudioData, AudioDataStamped, AudioInfo

from echoseg_ros.io.topics import AUDIO_STREAM, LATCHED, OutputNames
from echoseg_ros.nodes.convert import header
from echoseg_ros.nodes.node_base import EchosegBase
from echoseg_ros.nodes.sound_half import SoundHalf
from echoseg_ros.sound.labels.beamformer import BeamSignal
from echoseg_ros.types import Verdict


class BeamHalf:
    """Names the sources of each verdict and publishes what comes from the loudest one."""

    def __init__(self, node: EchosegBase, sound_half: SoundHalf) -> None:
        self._node, self._sound_half = node, sound_half
        self._beam = node.publisher(AudioDataStamped, OutputNames().beam, AUDIO_STREAM)
        self._info = node.publisher(AudioInfo, OutputNames().beam_info, LATCHED)
        self._rate_hz: float | None = None

    def name(self, verdict: Verdict) -> Verdict:
        """The verdict with labels; the array may not have been found yet."""
        side = self._sound_half.side
        if side is None:
            return verdict
        side.ear.go_live()
        if verdict.sources and self._beam.get_subscription_count():
            signal = side.ear.newest(max(verdict.sources, key=lambda source: source.activity), verdict)
            if signal is not None:
                self._publish(signal)
        return side.ear.name(verdict)

    def _publish(self, signal: BeamSignal) -> None:
        if signal.sample_rate_hz != self._rate_hz:
            self._rate_hz = signal.sample_rate_hz
            self._info.publish(
                AudioInfo(
                    channels=1, sample_rate=round(signal.sample_rate_hz), sample_format="S16LE", coding_format="WAVE"
                )
            )
        self._beam.publish(beam_message(signal, self._node.params.map_frame))

    def finish(self, verdict: Verdict) -> dict[int, BeamSignal]:
        """Once the threads have ended: end the labels' too; what is kept of the sound of each source, by its id."""
        side = self._sound_half.side
        if side is None:
            return {}
        side.ear.stop()
        return side.ear.beams(verdict)


def beam_message(signal: BeamSignal, frame: str) -> AudioDataStamped:
    """Mono S16LE; the stamp is that of the first sample."""
    whole = np.clip(np.round(signal.samples * 32768.0), -32768, 32767).astype("<i2")
    message = AudioDataStamped(header=header(signal.stamp_ns, frame), audio=AudioData())
    # rclpy takes array.array as it is; bytes cost twice, a numpy array hundreds of times as much.
    message.audio.data = array.array("B", whole.tobytes())
    return message
