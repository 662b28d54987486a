"""A ROS graph for each test of a node: a domain of its own, on this machine only."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: make setup, or a ROS installation")

if TYPE_CHECKING:
    from ros_graph import Graph, WaitUntil

_numbers = itertools.count()


@pytest.fixture
def domain(monkeypatch: pytest.MonkeyPatch) -> int:
    """A ROS_DOMAIN_ID of this test's own, also for the processes it starts."""
    from echoseg_ros.nodes.runtime import use_shared_memory_profile

    number = 1 + (os.getpid() * 13 + next(_numbers)) % 100
    monkeypatch.setenv("ROS_DOMAIN_ID", str(number))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    for name, value in use_shared_memory_profile().items():
        monkeypatch.setenv(name, value)
    return number


@pytest.fixture
def graph(domain: int) -> Iterator[Graph]:
    """Nodes of the test, closed at its end."""
    from ros_graph import Graph

    graph = Graph(domain)
    yield graph
    graph.close()


@pytest.fixture(name="wait_until")
def _wait_until() -> WaitUntil:
    from ros_graph import wait_until

    return wait_until
