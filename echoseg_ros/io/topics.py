"""Names, message types, frames and quality of service of all topics, in one place."""

from __future__ import annotations

from dataclasses import dataclass, fields

MAP_FRAME = "map"
CAMERA_FRAME = "camera_optical_frame"
ARRAY_FRAME = "microphone_array"

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
POINT_CLOUD = "sensor_msgs/msg/PointCloud2"
POSE_STAMPED = "geometry_msgs/msg/PoseStamped"
ODOMETRY = "nav_msgs/msg/Odometry"
TF_MESSAGE = "tf2_msgs/msg/TFMessage"
AUDIO_DATA_STAMPED = "audio_common_msgs/msg/AudioDataStamped"
AUDIO_INFO = "audio_common_msgs/msg/AudioInfo"
DETECTIONS = "vision_msgs/msg/Detection3DArray"


@dataclass(frozen=True)
class TopicQos:
    """Quality of service for bags and nodes; history is keep-last. depth: messages; latched: transient local."""

    depth: int
    latched: bool = False


# All topics are reliable: a reliable publisher matches every subscriber, and lost audio is a gap in the phase.
STREAM = TopicQos(depth=10)
AUDIO_STREAM = TopicQos(depth=100)
LATCHED = TopicQos(depth=1, latched=True)


@dataclass(frozen=True)
class TopicNames:
    """Names of the input topics. The defaults are those of a simulated bag; `pose` may name a TF topic."""

    image: str = "/camera/image_raw"
    camera_info: str = "/camera/camera_info"
    depth: str = "/camera/depth/image_raw"
    pose: str = "/camera/pose"
    audio: str = "/audio/audio_stamped"
    audio_info: str = "/audio/audio_info"
    tf: str = "/tf"
    tf_static: str = "/tf_static"
    truth: str = "/ground_truth/sources"
    points: str = "/camera/points"
    noise_only: str = "/robot/noise_only"
    masks: str = "/camera/masks"


@dataclass(frozen=True)
class OutputNames:
    """Names of the published topics, relative to the node except the absolute `diagnostics`."""

    markers: str = "markers"
    sounding: str = "sounding"
    objects: str = "objects"
    sources: str = "sources"
    segments: str = "segments"
    map: str = "map"
    evidence: str = "evidence"
    beam: str = "beam"
    beam_info: str = "beam_info"
    overlay: str = "overlay"
    diagnostics: str = "/diagnostics"


# Input topics of the nodes, relative and remappable.
NODE_INPUTS = TopicNames(
    image="image",
    camera_info="camera_info",
    depth="depth",
    pose="pose",
    audio="audio_stamped",
    audio_info="audio_info",
    truth="ground_truth/sources",
    points="points",
    noise_only="noise_only",
    masks="masks",
)

# Fields of TopicNames that no launch file remaps: TF is global, and no node reads the truth.
_NOT_REMAPPED = ("tf", "tf_static", "truth")


def bag_topic_of_input() -> dict[str, str]:
    """Remappable inputs of the nodes, by relative name, with the topic of a simulated bag that each one reads in a replay."""
    names = [f.name for f in fields(TopicNames) if f.name not in _NOT_REMAPPED]
    return {getattr(NODE_INPUTS, name): getattr(TopicNames(), name) for name in names}


# Message types that the bag writer uses, by the field of TopicNames.
BAG_TYPES: dict[str, str] = {
    "image": IMAGE,
    "camera_info": CAMERA_INFO,
    "depth": IMAGE,
    "pose": POSE_STAMPED,
    "audio": AUDIO_DATA_STAMPED,
    "audio_info": AUDIO_INFO,
    "tf": TF_MESSAGE,
    "tf_static": TF_MESSAGE,
    "truth": DETECTIONS,
    "points": POINT_CLOUD,
    "masks": IMAGE,
}

# Quality of service that the bag writer offers, by the field of TopicNames.
BAG_QOS: dict[str, TopicQos] = {
    "image": STREAM,
    "camera_info": STREAM,
    "depth": STREAM,
    "pose": AUDIO_STREAM,
    "audio": AUDIO_STREAM,
    "audio_info": LATCHED,
    "tf": AUDIO_STREAM,
    "tf_static": LATCHED,
    "truth": LATCHED,
    "points": LATCHED,
    "masks": STREAM,
}
