"""A microphone array alone (on another robot, on a wall): publishes its evidence for an object_node elsewhere."""

from __future__ import annotations

from echoseg_ros.nodes.runtime import run_node


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is interrupted; returns the exit code."""
    return run_node("echoseg_ros.nodes.listening", "SoundNode", arguments)
