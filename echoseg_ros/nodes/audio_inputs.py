"""Audio topics of a node: audio_info, audio_stamped, noise_only; and the array that recorded them."""

from __future__ import annotations

from audio_common_msgs.msg import AudioDataStamped, AudioInfo
from std_msgs.msg import Bool

from echoseg_ros.errors import AudioFormatError, EchosegError, PoseError
from echoseg_ros.io.decode import decode_audio, decode_audio_info, stamp_ns
from echoseg_ros.io.topics import AUDIO_STREAM, LATCHED, NODE_INPUTS
from echoseg_ros.nodes.array_source import ArraySource
from echoseg_ros.nodes.node_base import EchosegBase
from echoseg_ros.pipeline.latest import Latest
from echoseg_ros.pipeline.live import LivePipeline
from echoseg_ros.types import AudioChunk, AudioFormat, NoiseOnly


class AudioInputs:
    """Puts audio into the live pipeline once its format and its array are known.

    format_refusal: why the sound's worker cannot use the format, "" while it can. An array from TF is handed to the
    pipeline when TF knows it; audio waits for that.
    """

    def __init__(self, node: EchosegBase, live: LivePipeline, source: ArraySource, format_refusal: Latest[str]) -> None:
        self._live = live
        self._source = source
        self._has_array = not source.from_tf
        self._format: AudioFormat | None = None
        self._format_refusal = format_refusal
        source.listen()
        node.inputs["audio_info"] = node.make_input(
            AudioInfo, NODE_INPUTS.audio_info, LATCHED, self._read_format, live.put, once=True
        )
        node.inputs["audio"] = node.make_input(
            AudioDataStamped, NODE_INPUTS.audio, AUDIO_STREAM, self._read_chunk, live.put
        )
        node.inputs["noise_only"] = node.make_input(
            Bool, NODE_INPUTS.noise_only, LATCHED, lambda message: NoiseOnly(message.data), live.put, needed=False
        )

    def _read_format(self, message: AudioInfo) -> AudioFormat | None:
        known = self._format if self._has_array and not self._format_refusal.get() else None
        self._format = None
        self._format_refusal.set("")
        try:
            audio_format = decode_audio_info(message)
            self._find_array(audio_format)
        except PoseError:
            pass  # audio that comes before TF reports it
        except EchosegError as error:
            self._format_refusal.set(str(error))
            raise
        self._format = audio_format
        return (
            None if audio_format == known else audio_format
        )  # sent again, as by a bag that loops: the stream continues

    def _read_chunk(self, message: AudioDataStamped) -> AudioChunk:
        refusal = self._format_refusal.get()
        if refusal or self._format is None:
            raise AudioFormatError(refusal or "audio_info has not come: sample rate and format are not known")
        if not self._has_array:
            self._find_array(self._format)
            self._live.put(self._format)
        return AudioChunk(stamp_ns(message.header), decode_audio(message.audio.data, self._format))

    def _find_array(self, audio: AudioFormat) -> None:
        """Check the array against the audio; an array from TF is looked up. Raises PoseError, ArrayError."""
        if self._has_array:
            self._source.array.check_channel_count(audio.channels)
        else:
            self._live.use_array(self._source.find(audio))
            self._has_array = True
