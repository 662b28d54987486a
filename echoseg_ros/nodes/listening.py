"""A microphone array alone (on another robot, on a wall): publishes its evidence for an object_node elsewhere."""

from __future__ import annotations

from typing import Any

from echoseg_ros.nodes.node_base import EchosegBase
from echoseg_ros.nodes.sound_half import SoundHalf
from echoseg_ros.pipeline.warmup import warm_up


class SoundNode(EchosegBase):
    """Microphones and poses in, evidence out."""

    def __init__(self, **options: Any) -> None:
        super().__init__("sound_node", **options)
        self.sound_half = SoundHalf(self, lambda evidence: None, lambda: None, always_publish=True)
        warm_up(self.config, self.sound_half.array, None)
        self.start_workers()
        self.listen_for_camera_frame()
        self.listen_to_poses()
        self.sound_half.listen()

    def statistics(self) -> dict[str, str]:
        """For the diagnostics."""
        return self.sound_half.statistics()
