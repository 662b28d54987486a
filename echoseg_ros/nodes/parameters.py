"""ROS parameters: the settings of config.py and those of the node, each declared once with range and meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from echoseg_ros.config import RENAMED_SETTINGS, Config, settings
from echoseg_ros.errors import ConfigError
from echoseg_ros.setting import Setting, check_value, coerced, nearest_name, setting, settings_of

# Parameters that rclpy or the middleware declares, or that act before a node exists.
_FOREIGN = ("use_sim_time", "qos_overrides.", "start_type_description_service")
# Parameters that may change while the node runs; all others are read once at the start.
_CHANGEABLE = ("map_path", "results_dir")


@dataclass(frozen=True)
class NodeParams:
    """Settings of the node, not of the algorithm."""

    pose_source: str = setting("pose", "where poses come from: topic pose as PoseStamped or as Odometry, or TF",
                               choices=("pose", "odometry", "tf"))  # fmt: skip
    map_frame: str = setting("map", "frame of the map and of everything published in it")
    camera_frame: str = setting("", "optical frame of the camera; empty: the frame_id of camera_info")
    image_transport: str = setting("raw", "topic image, or image/compressed", choices=("raw", "compressed"))
    depth_transport: str = setting("raw", "topic depth, or depth/compressedDepth", choices=("raw", "compressedDepth"))
    use_depth: bool = setting(True, "feed the map from depth images")
    array_frame: str = setting(
        "", "take the array's pose on the camera from TF of this frame; empty: from the array's file"
    )
    microphone_frames: tuple[str, ...] = setting(
        (), "take the place of each microphone from TF of these frames, in the order of the audio's channels (or of the "
        "microphones in the array's file, if it has as many: its channel_order, gains, delays and head hold); empty: off"
    )  # fmt: skip
    evidence_frame: str = setting("echoseg_array", "frame of the published evidence, broadcast on /tf; "
                                  "empty: array_frame, which others broadcast")  # fmt: skip
    evidence_topics: tuple[str, ...] = setting(("evidence",), "object_node: topics of the sound_nodes it listens to")
    device: str = setting("auto", "where the map lives", choices=("auto", "cpu", "cuda"))
    results_dir: str = setting("", "on save_map and at the end, write the run's files here; empty: don't")
    map_path: str = setting("echoseg_map.ply", "file of the services save_map and load_map, a 3DGS PLY; what ends in "
                            ".compressed.ply is written in SuperSplat's compressed layout")  # fmt: skip


def read_parameters(node: Node) -> tuple[Config, NodeParams]:
    """Declare every setting as a parameter and return the values. Raises ConfigError; unknown parameters are logged."""
    # rclpy has no public way to list overrides that nobody declares, nor to read an empty list from a file.
    overrides = {name: parameter.value for name, parameter in node._parameter_overrides.items()}
    known = {**dict(settings()), **dict(settings_of(NodeParams))}
    for name in overrides:
        if name in RENAMED_SETTINGS:
            raise ConfigError(f"parameter {name!r} is now {RENAMED_SETTINGS[name]!r}")
        if name not in known and not name.startswith(_FOREIGN):
            node.get_logger().error(f"unknown parameter {name!r} has no effect{nearest_name(name, known)}")
    values = {name: coerced(overrides.get(name, spec.default), spec) for name, spec in known.items()}
    for name, spec in settings_of(NodeParams):
        check_value(name, values[name], spec)
    config = Config().updated({name: values[name] for name, _ in settings()})
    params = NodeParams(**{name: values[name] for name, _ in settings_of(NodeParams)})
    for name, spec in known.items():
        node.declare_parameter(name, _ros_value(values[name]), _descriptor(name, spec), ignore_override=True)
    return config, params


def _ros_value(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _descriptor(name: str, spec: Setting) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=_meaning(spec), read_only=name not in _CHANGEABLE)
    if spec.choices:
        descriptor.additional_constraints = "one of " + ", ".join(spec.choices)
    if spec.low is None or spec.high is None:
        return descriptor
    if spec.type is int:
        descriptor.integer_range = [IntegerRange(from_value=int(spec.low), to_value=int(spec.high), step=0)]
    elif spec.type is float:
        limits = FloatingPointRange(from_value=float(spec.low), to_value=float(spec.high), step=0.0)
        descriptor.floating_point_range = [limits]
    return descriptor


def _meaning(spec: Setting) -> str:
    return f"{spec.meaning} [{spec.unit}]" if spec.unit else spec.meaning
