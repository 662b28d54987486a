"""The launch files, where ROS 2 launch is installed (apt only): nodes, remappings, and what a replay passes on."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from echoseg_ros.io.topics import bag_topic_of_input

launch = pytest.importorskip("launch", reason="ROS 2 launch comes with apt's ROS 2 only")
launch_actions = pytest.importorskip("launch.actions", reason="the folder launch/ is not ROS 2 launch")
launch_utilities = pytest.importorskip("launch.utilities")
launch_ros_actions = pytest.importorskip("launch_ros.actions")

LAUNCH = Path(__file__).parents[1] / "launch"


@pytest.fixture(autouse=True)
def share(monkeypatch: pytest.MonkeyPatch) -> None:
    """The share folder is the source tree."""
    monkeypatch.setattr("ament_index_python.packages.get_package_share_directory", lambda _: str(LAUNCH.parent))


def started(name: str, **arguments: str) -> tuple[Any, list[Any]]:
    """The context and the processes that a launch file with these arguments would start."""
    specification = importlib.util.spec_from_file_location("launch_file", LAUNCH / name)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    context = launch.LaunchContext()
    context.launch_configurations.update(arguments)
    found: list[Any] = []

    def visit(entity: Any) -> None:
        if isinstance(entity, launch_actions.ExecuteProcess):  # a Node is one
            found.append(entity)
            return
        for inner in entity.visit(context) or []:
            visit(inner)

    visit(module.generate_launch_description())
    return context, found


def remappings(context: Any, node: Any) -> dict[str, str]:
    pairs = node.expanded_remapping_rules or node._Node__remappings
    text = [[launch_utilities.perform_substitutions(context, list(part)) for part in pair] for pair in pairs]
    return dict(text)


def test_the_default_is_one_node_without_remappings() -> None:
    context, found = started("echoseg.launch.py")
    assert [node.node_executable for node in found] == ["echoseg_node"]
    assert not remappings(context, found[0])


def test_nodes_rviz_and_topics_are_arguments() -> None:
    context, found = started("echoseg.launch.py", nodes="sound_node,object_node", rviz="true", image="/front/rgb")
    assert [node.node_executable for node in found] == ["sound_node", "object_node", "rviz2"]
    assert remappings(context, found[0]) == {"image": "/front/rgb"}


def test_a_replay_reads_the_topics_of_a_bag_and_its_files(tmp_path: Path) -> None:
    (tmp_path / "array.yaml").touch()
    (tmp_path / "echoseg.yaml").touch()
    context, found = started("replay.launch.py", bag=str(tmp_path), rviz="true", image="/front/rgb")
    assert [isinstance(process, launch_ros_actions.Node) for process in found] == [True, True, False]
    assert remappings(context, found[0]) == {**bag_topic_of_input(), "image": "/front/rgb"}
    assert context.launch_configurations["array"] == str(tmp_path / "array.yaml")
    assert context.launch_configurations["recording_params"] == str(tmp_path / "echoseg.yaml")
    assert context.launch_configurations["use_sim_time"] == "true"


def test_an_array_that_is_named_counts_more_than_the_bags(tmp_path: Path) -> None:
    (tmp_path / "array.yaml").touch()
    context, _ = started("replay.launch.py", bag=str(tmp_path), array="square4")
    assert context.launch_configurations["array"] == "square4"
