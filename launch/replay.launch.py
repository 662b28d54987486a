"""Replays a bag into the nodes: bag:=FOLDER [rate:=1.0 loop:=false rviz:=true ...]."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource

from launch import LaunchContext, LaunchDescription

SHARE = Path(get_package_share_directory("echoseg_ros"))

ARGUMENTS = {
    "bag": (None, "folder of the bag"),
    "rate": ("1.0", "how many times faster than recorded"),
    "loop": ("false", "start again at the end"),
    "exit_at_end": ("false", "end everything when the bag has been played"),
}
# The topics of a bag made by `echoseg simulate`; say image:=... for another one.
TOPICS = {
    "image": "/camera/image_raw",
    "camera_info": "/camera/camera_info",
    "depth": "/camera/depth/image_raw",
    "pose": "/camera/pose",
    "audio_stamped": "/audio/audio_stamped",
    "audio_info": "/audio/audio_info",
    "points": "/camera/points",
    "noise_only": "/robot/noise_only",
    "masks": "/camera/masks",
}
# Handed on to echoseg.launch.py.
HANDED_ON = ("params_file", "array", "rviz", "namespace", "nodes", "pose_source", "results_dir")


def generate_launch_description() -> LaunchDescription:
    arguments = [DeclareLaunchArgument(k, default_value=v, description=d) for k, (v, d) in ARGUMENTS.items()]
    topics = [DeclareLaunchArgument(k, default_value=v, description=f"the bag's {k}") for k, v in TOPICS.items()]
    return LaunchDescription([*arguments, *topics, OpaqueFunction(function=replay)])


def replay(context: LaunchContext) -> list:
    given = context.launch_configurations
    handed_on = {name: given[name] for name in [*HANDED_ON, *TOPICS] if name in given}
    array_file = Path(given["bag"]) / "array.yaml"
    if not handed_on.get("array") and array_file.exists():
        handed_on["array"] = str(array_file)
    settings_file = Path(given["bag"]) / "echoseg.yaml"
    if settings_file.exists():
        handed_on["recording_params"] = str(settings_file)
    nodes = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / "launch" / "echoseg.launch.py")),
        launch_arguments={**handed_on, "use_sim_time": "true"}.items(),
    )
    waited_for = [given[name] for name in ("image", "audio_stamped")]
    command = ["python3", "-m", "echoseg_ros.cli", "--quiet", "play", given["bag"]]
    command += ["--rate", given["rate"], "--wait-s", "300", "--wait-for", *waited_for]
    player = ExecuteProcess(
        cmd=command + (["--loop"] if given["loop"].lower() in ("true", "1") else []), output="screen"
    )
    actions = [nodes, player]
    if given["exit_at_end"].lower() in ("true", "1"):
        at_end = OnProcessExit(target_action=player, on_exit=[Shutdown(reason="the bag has been played")])
        actions.insert(0, RegisterEventHandler(at_end))
    return actions
