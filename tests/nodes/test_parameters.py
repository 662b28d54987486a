from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs ROS 2: make setup, or a ROS installation")

from rclpy.parameter import Parameter
from ros_graph import Graph

from echoseg_ros.config import Config, settings
from echoseg_ros.errors import ConfigError
from echoseg_ros.nodes.parameters import NodeParams, read_parameters

Read = Callable[..., tuple[Any, Config, NodeParams]]


@pytest.fixture
def read(graph: Graph) -> Read:
    """Makes a node with parameter overrides and reads its parameters."""

    def read(**values: Any) -> tuple[Any, Config, NodeParams]:
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        node = rclpy.create_node("reader", context=graph.context, parameter_overrides=overrides)
        graph.close_at_end(node)
        return node, *read_parameters(node)

    return read


def test_every_setting_is_declared_with_meaning_and_range(read: Read) -> None:
    node, config, _ = read()
    for name, spec in settings():
        descriptor = node.describe_parameter(name)
        assert spec.meaning in descriptor.description
        assert node.get_parameter(name).value == config.flat()[name] == spec.default
    limits = node.describe_parameter("map.max_gaussians").integer_range[0]
    assert (limits.from_value, limits.to_value) == (100, 10_000_000)


def test_values_are_taken_and_whole_numbers_pass_as_floats(read: Read) -> None:
    _, config, params = read(**{"map.steps_per_s": 20, "pose_source": "tf", "sound.array": "square4"})
    assert config.map.steps_per_s == 20.0 and config.sound.array == "square4" and params.pose_source == "tf"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("map.steps_per_s", -1.0, "map.steps_per_s = -1.0: want 0.0 to 1000.0"),
        ("input.audio_stamp", "noon", "want one of first_sample, arrival"),
        ("sound.own_noise", "off", "parameter 'sound.own_noise' is now 'sound.ego_noise'"),
        ("pose_source", "gps", "pose_source = 'gps': want one of pose, odometry, tf"),
    ],
)
def test_bad_values_are_refused_by_name(read: Read, name: str, value: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read(**{name: value})


def test_unknown_parameters_are_reported(read: Read, capfd: pytest.CaptureFixture[str]) -> None:
    read(**{"map.step_per_s": 3.0})
    assert "unknown parameter 'map.step_per_s' has no effect; did you mean 'map.steps_per_s'?" in capfd.readouterr().err
