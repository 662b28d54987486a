"""The map and the choice, fed with the evidence of any number of sound_nodes."""

from __future__ import annotations

from echoseg_ros.nodes.runtime import run_node


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is interrupted; returns the exit code."""
    return run_node("echoseg_ros.nodes.deciding", "ObjectNode", arguments)
