"""ROS for a test: nodes in a context and a domain of their own, spun in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

NodeType = TypeVar("NodeType")

# Generous: a loaded machine may take this long to start a process and compile its kernels.
PATIENCE_S = 100.0


class Graph:
    """A context with nodes that are spun until the test ends."""

    def __init__(self, domain_id: int) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain_id)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._nodes: list[Any] = []
        self._thread = threading.Thread(target=self._spin, daemon=True)

    def node(self, make: Callable[[Any], NodeType]) -> NodeType:
        """Make a node in this context and spin it from now on."""
        node = make(self.context)
        self.close_at_end(node)
        self._executor.add_node(node)
        if not self._thread.is_alive():
            self._thread.start()
        return node

    def close_at_end(self, node: Any) -> None:
        """Destroy a node at the end of the test without spinning it."""
        self._nodes.append(node)

    def close(self) -> None:
        """End the thread, then the nodes, then the context."""
        self._executor.shutdown()
        if self._thread.is_alive():
            self._thread.join(10)
        for node in self._nodes:
            if hasattr(node, "finish"):
                node.finish()
            node.destroy_node()
        rclpy.try_shutdown(context=self.context)

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            pass


class WaitUntil(Protocol):
    """The fixture `wait_until`."""

    def __call__(self, condition: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None: ...


def wait_until(condition: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Return once a condition holds; fail with `what` was awaited."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {patience_s:.0f} s for {what}"
        time.sleep(0.02)
