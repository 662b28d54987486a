"""Replays a bag into the nodes: bag:=FOLDER [rate:=1.0 loop:=false rviz:=true ...].

Takes the arguments of echoseg.launch.py too.
"""

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

from echoseg_ros.io.topics import bag_topic_of_input
from launch import LaunchContext, LaunchDescription

SHARE = Path(get_package_share_directory("echoseg_ros"))

ARGUMENTS = {
    "bag": (None, "folder of the bag"),
    "rate": ("1.0", "speed relative to the recording"),
    "loop": ("false", "repeat the bag"),
    "exit_at_end": ("false", "shut down at the end of the bag"),
}
# Topics of a bag made by `echoseg simulate`, by the nodes' inputs; image:=... names another one.
TOPICS = bag_topic_of_input()


def generate_launch_description() -> LaunchDescription:
    arguments = [DeclareLaunchArgument(k, default_value=v, description=d) for k, (v, d) in ARGUMENTS.items()]
    topics = [DeclareLaunchArgument(k, default_value=v, description=f"the bag's {k}") for k, v in TOPICS.items()]
    return LaunchDescription([*arguments, *topics, OpaqueFunction(function=replay)])


def replay(context: LaunchContext) -> list:
    given = context.launch_configurations
    # An included file sees every argument of this one, so only what this file decides is passed on.
    decided = {"use_sim_time": "true"}
    array_file = Path(given["bag"]) / "array.yaml"
    if not given.get("array") and array_file.exists():
        decided["array"] = str(array_file)
    settings_file = Path(given["bag"]) / "echoseg.yaml"
    if settings_file.exists():
        decided["recording_params"] = str(settings_file)
    nodes = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / "launch" / "echoseg.launch.py")), launch_arguments=decided.items()
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
