"""ROS for a test: a domain of its own on this machine only, spun in a thread."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs ROS 2: make setup, or a ROS installation")

_numbers = itertools.count()
# Generous: a loaded machine may take this long to start a process and compile its kernels.
PATIENCE_S = 100.0


class Graph:
    """A context with nodes that are spun until the test ends."""

    def __init__(self, domain_id: int) -> None:
        from rclpy.executors import SingleThreadedExecutor

        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain_id)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._nodes: list = []
        self._thread = threading.Thread(target=self._spin, daemon=True)

    def node(self, make: Callable) -> object:
        """Make a node in this context and spin it from now on."""
        node = make(self.context)
        self._nodes.append(node)
        self._executor.add_node(node)
        if not self._thread.is_alive():
            self._thread.start()
        return node

    def close(self) -> None:
        self._executor.shutdown()
        if self._thread.is_alive():
            self._thread.join(10)
        for node in self._nodes:
            if hasattr(node, "finish"):
                node.finish()
            node.destroy_node()
        rclpy.try_shutdown(context=self.context)

    def _spin(self) -> None:
        from rclpy.executors import ExternalShutdownException

        try:
            self._executor.spin()
        except ExternalShutdownException:
            pass


@pytest.fixture
def domain(monkeypatch) -> int:
    """A ROS_DOMAIN_ID of this test's own, also for the processes it starts."""
    from echoseg_ros.nodes.runtime import use_shared_memory_profile

    number = 1 + (os.getpid() * 13 + next(_numbers)) % 100
    monkeypatch.setenv("ROS_DOMAIN_ID", str(number))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    for name, value in use_shared_memory_profile().items():
        monkeypatch.setenv(name, value)
    return number


@pytest.fixture
def graph(domain):
    graph = Graph(domain)
    yield graph
    graph.close()


def wait_until(condition: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Until a condition holds; fails with `what` was waited for."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {patience_s:.0f} s for {what}"
        time.sleep(0.02)


@pytest.fixture(name="wait_until")
def _wait_until() -> Callable:
    return wait_until
