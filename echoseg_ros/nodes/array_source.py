"""The array of the parameters: from its file, with the array's pose or each microphone's position from TF."""

from __future__ import annotations

from dataclasses import replace

from echoseg_ros.errors import ArrayError, PoseError
from echoseg_ros.nodes.node_base import EchosegBase
from echoseg_ros.sound.array.array_geometry import ArrayGeometry, array_from_frames, load_array
from echoseg_ros.types import AudioFormat, Float64Array

DEFAULT_ARRAY = "cube8"


class ArraySource:
    """`array` is that of the file until `find` has completed it from TF."""

    def __init__(self, node: EchosegBase) -> None:
        self._node = node
        self._frames = node.params.microphone_frames
        self.array = self._named()
        self.from_tf = bool(self._frames or node.params.array_frame)

    def listen(self) -> None:
        """Subscribe to transforms if the array needs them."""
        if self.from_tf:
            self._node.subscribe_to_transforms()

    def find(self, audio: AudioFormat) -> ArrayGeometry:
        """The array for audio of this format.

        Raises PoseError while TF lacks a frame, ArrayError if the array does not fit the audio.
        """
        if not self._frames or len(self._frames) == self.array.microphones:
            self.array.check_channel_count(audio.channels)
        elif audio.channels != len(self._frames):
            raise ArrayError(
                f"{len(self._frames)} microphone_frames, the audio has {audio.channels} channels: want one frame for each"
            )
        if self.from_tf:
            self.array = self._from_frames(audio) if self._frames else self._placed()
        return self.array

    def _named(self) -> ArrayGeometry:
        name, log = self._node.config.sound.array, self._node.get_logger()
        if name == "auto":
            if not self._frames:
                log.warning(f"sound.array is not set: {DEFAULT_ARRAY} is used")
            name = DEFAULT_ARRAY
        array = load_array(name)
        if self._frames and array.microphones != len(self._frames):
            log.info(f"{len(self._frames)} microphone_frames, and array {array.name} has {array.microphones} microphones: "
                     "its file is not used")  # fmt: skip
        return array

    def _placed(self) -> ArrayGeometry:
        return replace(self.array, T_camera_array=self._T_camera(self._node.params.array_frame))

    def _from_frames(self, audio: AudioFormat) -> ArrayGeometry:
        """Positions from TF; channel order, gains, delays and head from a file with the same number of microphones."""
        T_camera_array = self._T_camera(self._node.params.array_frame) if self._node.params.array_frame else None
        frames = [self._T_camera(frame) for frame in self._frames]
        found = array_from_frames(frames, audio.sample_rate_hz, T_camera_array=T_camera_array)
        if self.array.microphones != len(frames):
            return found
        return replace(self.array, sample_rate_hz=found.sample_rate_hz, microphones_m=found.microphones_m,
                       T_camera_array=found.T_camera_array)  # fmt: skip

    def _T_camera(self, frame: str) -> Float64Array:
        transforms, camera = self._node.transforms, self._node.camera_frame
        found = transforms.fixed(camera, frame) if transforms is not None and camera else None
        if found is None:
            raise PoseError(f"no transform from {camera!r} to {frame!r} yet")
        return found
