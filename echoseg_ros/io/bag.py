"""`BagReader` reads rosbag2 folders and files (mcap, sqlite3) as the types that the nodes produce, without ROS."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from echoseg_ros.errors import AudioFormatError, BagError
from echoseg_ros.io import decode, topics
from echoseg_ros.io.raw_bag import RawBag
from echoseg_ros.io.stored_message import Damage, StoredMessage
from echoseg_ros.io.topics import TopicNames
from echoseg_ros.io.transform_tree import TransformTree
from echoseg_ros.io.typestore import typestore
from echoseg_ros.types import (
    AudioChunk,
    AudioFormat,
    Camera,
    DepthData,
    Float64Array,
    ImageData,
    MaskImage,
    PoseData,
    SeedPoints,
)

logger = logging.getLogger(__name__)

# Message types that a topic may have, by the field of TopicNames.
_MESSAGE_TYPES: dict[str, tuple[str, ...]] = {
    "image": (topics.IMAGE, topics.COMPRESSED_IMAGE),
    "camera_info": (topics.CAMERA_INFO,),
    "depth": (topics.IMAGE, topics.COMPRESSED_IMAGE),
    "pose": (topics.POSE_STAMPED, topics.ODOMETRY, topics.TF_MESSAGE),
    "audio": (topics.AUDIO_DATA_STAMPED,),
    "audio_info": (topics.AUDIO_INFO,),
    "tf": (topics.TF_MESSAGE,),
    "tf_static": (topics.TF_MESSAGE,),
    "points": (topics.POINT_CLOUD,),
    "masks": (topics.IMAGE,),
}
# Topics that a run needs, as fields of TopicNames.
REQUIRED = ("image", "camera_info", "pose", "audio", "audio_info")
# Suffixes of the compressed topics of image_transport.
_COMPRESSED_SUFFIXES = {"image": "/compressed", "depth": "/compressedDepth"}


@dataclass(frozen=True)
class Problem:
    """A message or a part of a bag that could not be read; reading continues.

    stamp_ns: log time, 0 if unknown; topic: '' for the bag itself; text: one line for the user.
    """

    stamp_ns: int
    topic: str
    text: str


@dataclass(frozen=True)
class PoseOptions:
    """Frames of the poses. camera_frame: "" = the frame_id of camera_info."""

    map_frame: str = topics.MAP_FRAME
    camera_frame: str = ""


BagItem = Camera | ImageData | DepthData | MaskImage | PoseData | SeedPoints | AudioChunk | AudioFormat | Problem


class BagReader:
    """Images, camera, poses and audio of a bag in log-time order.

    require: fields of `topics` that the bag must have; topics.pose: a PoseStamped, Odometry or TF topic. Raises BagError
    (bag missing or unreadable, topic missing or of another type), AudioFormatError (audio_info) and ImageFormatError
    (camera_info).
    """

    def __init__(
        self,
        path: Path,
        topics: TopicNames | None = None,
        poses: PoseOptions | None = None,
        require: Collection[str] = REQUIRED,
    ) -> None:
        self.path = Path(path)
        self._raw = RawBag(self.path)
        self._poses = poses or PoseOptions()
        self._require = require
        self.topics = self._resolved(topics or TopicNames())
        self.start_ns = self._raw.start_ns
        self.duration_s = (self._raw.end_ns - self._raw.start_ns) / 1e9
        self.counts = dict(self._raw.counts)
        self._read_first_messages()

    def messages(self) -> Iterator[BagItem]:
        """All inputs of the pipeline, and a Problem for each message or part that cannot be read."""
        for damage in self._raw.damages:
            yield Problem(0, "", damage.text)
        yield self.camera
        if self.audio_format is not None:
            yield self.audio_format
        decoder = _Decoder(self)
        for entry in self._raw.messages(decoder.topics()):
            if isinstance(entry, Damage):
                yield Problem(0, "", entry.text)
                continue
            try:
                yield from decoder(entry)
            except Exception as error:  # the CDR reader raises any error for a damaged message
                yield Problem(entry.log_time_ns, entry.topic, f"{entry.topic}: {error or type(error).__name__}")

    def raw_messages(self, names: Collection[str] | None = None) -> Iterator[tuple[str, str, int, bytes]]:
        """(topic, message type, log time, CDR bytes) of some topics (None: all); damages are logged."""
        for entry in self._raw.messages(names):
            if isinstance(entry, Damage):
                logger.warning("%s", entry.text)
            else:
                yield entry.topic, entry.message_type, entry.log_time_ns, entry.data

    @property
    def types(self) -> dict[str, str]:
        """Message type of each topic."""
        return dict(self._raw.types)

    @property
    def latched(self) -> frozenset[str]:
        """Topics with transient local durability."""
        return frozenset(self._raw.latched)

    def _resolved(self, names: TopicNames) -> TopicNames:
        """The names, with the compressed topic where the bag has only that.

        Raises BagError for a missing topic and for one of another type.
        """
        found = self._raw.types
        for field, suffix in _COMPRESSED_SUFFIXES.items():
            name = getattr(names, field)
            if name not in found and name + suffix in found:
                names = replace(names, **{field: name + suffix})
        missing = [getattr(names, field) for field in self._require if getattr(names, field) not in found]
        if missing:
            available = ", ".join(f"{topic} ({kind})" for topic, kind in sorted(found.items()))
            raise BagError(f"bag {self.path}: no topic {', '.join(missing)}; it holds {available}")
        for field, kinds in _MESSAGE_TYPES.items():
            name = getattr(names, field)
            if name in found and found[name] not in kinds:
                raise BagError(f"bag {self.path}: topic {name} is a {found[name]}, want {' or '.join(kinds)}")
        return names

    def _read_first_messages(self) -> None:
        """Read camera, audio format and frames, which the decoding of the first message needs."""
        self.static_transforms = TransformTree()
        for message in self._all(self.topics.tf_static):
            self.static_transforms.add(message, fixed=True)
        info = self._first(self.topics.camera_info)
        if info is None:
            raise BagError(f"bag {self.path}: topic {self.topics.camera_info} holds no readable message")
        self.camera: Camera = decode.decode_camera_info(info)
        audio_info = self._first(self.topics.audio_info)
        self.audio_format: AudioFormat | None = decode.decode_audio_info(audio_info) if audio_info else None
        self.camera_frame = self._poses.camera_frame or info.header.frame_id
        audio = self._first(self.topics.audio)
        self.array_frame = audio.header.frame_id if audio else ""
        self.T_camera_array: Float64Array | None = self.static_transforms.fixed(self.camera_frame, self.array_frame)

    def _first(self, topic: str) -> Any | None:
        return next(self._all(topic), None)

    def _all(self, topic: str) -> Iterator[Any]:
        if topic not in self._raw.types:
            return
        for entry in self._raw.messages([topic]):
            if isinstance(entry, StoredMessage):
                try:
                    yield typestore().deserialize_cdr(entry.data, entry.message_type)
                except Exception as error:  # messages() reports it as a Problem
                    logger.debug("%s: %s", topic, error)


class _Decoder:
    """Decodes the messages of one pass over a bag; keeps the camera, the audio format and the transforms."""

    def __init__(self, bag: BagReader) -> None:
        self._bag = bag
        self._camera = bag.camera
        self._format = bag.audio_format
        self._transforms = bag.static_transforms
        self._transforms.clear_moving()
        self._newest_pose_ns = -1
        self._handlers: dict[str, Callable[[Any], BagItem | None]] = {
            bag.topics.image: lambda m: ImageData(decode.stamp_ns(m.header), decode.decode_image(m)),
            bag.topics.depth: lambda m: DepthData(decode.stamp_ns(m.header), decode.decode_depth(m)),
            bag.topics.camera_info: self._camera_info,
            bag.topics.audio: self._audio,
            bag.topics.audio_info: self._audio_info,
            bag.topics.pose: self._pose,
            bag.topics.masks: lambda m: MaskImage(decode.stamp_ns(m.header), decode.decode_masks(m)),
            bag.topics.points: lambda m: SeedPoints(decode.stamp_ns(m.header), decode.decode_points(m)),
        }

    def topics(self) -> list[str]:
        """The topics to decode that the bag has."""
        return [topic for topic in self._handlers if topic in self._bag.types]

    def __call__(self, entry: StoredMessage) -> Iterator[BagItem]:
        item = self._handlers[entry.topic](typestore().deserialize_cdr(entry.data, entry.message_type))
        if item is not None:
            yield item

    def _camera_info(self, message: Any) -> Camera | None:
        camera = decode.decode_camera_info(message)
        if camera == self._camera:
            return None
        self._camera = camera
        return camera

    def _audio_info(self, message: Any) -> AudioFormat | None:
        audio_format = decode.decode_audio_info(message)
        if audio_format == self._format:
            return None
        self._format = audio_format
        return audio_format

    def _audio(self, message: Any) -> AudioChunk:
        if self._format is None:
            raise AudioFormatError("audio before audio_info: sample rate and format are unknown")
        return AudioChunk(decode.stamp_ns(message.header), decode.decode_audio(message.audio.data, self._format))

    def _pose(self, message: Any) -> PoseData | None:
        if hasattr(message, "transforms"):
            return self._tf_pose(message)
        T_map_body = decode.decode_pose(message)
        body = getattr(message, "child_frame_id", "")
        if body and body != self._bag.camera_frame:
            T_body_camera = self._transforms.fixed(body, self._bag.camera_frame)
            if T_body_camera is None:
                raise BagError(
                    f"odometry of frame {body!r}: want a fixed transform to {self._bag.camera_frame!r} in /tf_static"
                )
            T_map_body = T_map_body @ T_body_camera
        return PoseData(decode.stamp_ns(message.header), T_map_body)

    def _tf_pose(self, message: Any) -> PoseData | None:
        self._transforms.add(message, fixed=False)
        found = self._transforms.latest(self._bag._poses.map_frame, self._bag.camera_frame)
        if found is None or found[0] == self._newest_pose_ns:
            return None
        self._newest_pose_ns = found[0]
        return PoseData(*found)
