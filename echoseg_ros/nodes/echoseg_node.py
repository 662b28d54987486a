"""Sound and objects in one process: the default. The evidence goes from one to the other as an object."""

from __future__ import annotations

from echoseg_ros.nodes.runtime import run_node


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is interrupted; returns the exit code."""
    return run_node("echoseg_ros.nodes.whole", "EchosegNode", arguments)
