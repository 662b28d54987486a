"""The end of a node process."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable

import pytest
import rclpy
from rclpy._rclpy_pybind11 import RCLError
from rclpy.node import Node
from std_msgs.msg import Empty

from echoseg_ros.nodes import runtime


class _Interrupted(Node):  # type: ignore[misc]
    """Publishes once, after `before` has been called."""

    def __init__(self, before: Callable[[], None]) -> None:
        super().__init__("interrupted")
        self.finished = False
        self._before = before
        self._out = self.create_publisher(Empty, "out", 1)
        self.create_timer(0.01, self._publish)

    def finish(self) -> None:
        self.finished = True

    def _publish(self) -> None:
        self._before()
        self._out.publish(Empty())


def _spin(monkeypatch: pytest.MonkeyPatch, before: Callable[[], None]) -> tuple[int, _Interrupted]:
    made: list[_Interrupted] = []

    def make() -> _Interrupted:
        made.append(_Interrupted(before))
        return made[0]

    module = types.ModuleType("module_of_a_node")
    vars(module)["Made"] = make
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return runtime.run_node(module.__name__, "Made", []), made[0]


@pytest.mark.usefixtures("domain")
def test_an_interrupt_in_the_middle_of_a_call_of_rclpy_ends_the_node_cleanly(monkeypatch: pytest.MonkeyPatch) -> None:
    """rclpy ends the context in a thread of its own; a call that is under way then raises RCLError, and the node ended
    with a traceback and exit code 1 although all of its results were written."""
    code, node = _spin(monkeypatch, lambda: rclpy.shutdown())
    assert code == 0
    assert node.finished


@pytest.mark.usefixtures("domain")
def test_a_failed_call_of_rclpy_without_an_interrupt_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RCLError("no memory")

    with pytest.raises(RCLError, match="no memory"):
        _spin(monkeypatch, fail)
