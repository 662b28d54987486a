"""Starts echoseg_node, or sound_node and object_node, with their parameters and topics; RViz on request."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from echoseg_ros.io.topics import bag_topic_of_input
from launch import LaunchContext, LaunchDescription

SHARE = Path(get_package_share_directory("echoseg_ros"))

# Inputs of the nodes; an argument of the same name says which topic each one reads.
INPUTS = tuple(bag_topic_of_input())
ARGUMENTS = {
    "params_file": (str(SHARE / "config" / "echoseg.yaml"), "parameters of the nodes (YAML)"),
    "recording_params": ("", "parameters that belong to a recording (YAML); the params_file overrides them"),
    "array": ("", "microphone array: cube8, square4, binaural or a YAML file; empty: the params_file's"),
    "use_sim_time": ("false", "take the time from /clock, as for a replayed bag"),
    "rviz": ("false", "start RViz with the package's layout"),
    "namespace": ("", "namespace of the nodes and their topics"),
    "nodes": ("echoseg_node", "which nodes, comma-separated: echoseg_node, or sound_node and object_node"),
    "pose_source": ("", "pose, odometry or tf; empty: the params_file's"),
    "results_dir": ("", "folder for metrics, objects and the map at the end; empty: the params_file's"),
}


def generate_launch_description() -> LaunchDescription:
    arguments = [DeclareLaunchArgument(k, default_value=v, description=d) for k, (v, d) in ARGUMENTS.items()]
    topics = [DeclareLaunchArgument(name, default_value=name, description=f"topic of {name}") for name in INPUTS]
    return LaunchDescription([*arguments, *topics, OpaqueFunction(function=nodes)])


def nodes(context: LaunchContext) -> list[Node]:
    value = {name: LaunchConfiguration(name).perform(context) for name in [*ARGUMENTS, *INPUTS]}
    overrides = {"use_sim_time": value["use_sim_time"].lower() in ("true", "1")}
    named = {"sound.array": "array", "pose_source": "pose_source", "results_dir": "results_dir"}
    overrides.update({parameter: value[argument] for parameter, argument in named.items() if value[argument]})
    files = [value[name] for name in ("recording_params", "params_file") if value[name]]
    started = [
        Node(
            package="echoseg_ros",
            executable=name.strip(),
            name=name.strip(),
            namespace=value["namespace"],
            parameters=[*files, overrides],
            remappings=[(topic, value[topic]) for topic in INPUTS if value[topic] != topic],
            output="screen",
        )
        for name in value["nodes"].split(",")
    ]
    if value["rviz"].lower() in ("true", "1"):
        started.append(rviz(value))
    return started


def rviz(value: dict[str, str]) -> Node:
    return Node(
        package="rviz2",
        executable="rviz2",
        namespace=value["namespace"],
        arguments=["-d", str(SHARE / "config" / "echoseg.rviz")],
        parameters=[{"use_sim_time": value["use_sim_time"].lower() in ("true", "1")}],
        output="log",
    )
