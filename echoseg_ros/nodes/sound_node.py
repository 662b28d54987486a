"""A microphone array alone (on another robot, on a wall): publishes its evidence for an object_node elsewhere."""

from __future__ import annotations

from typing import Any

from echoseg_ros.nodes.array_source import ArraySource
from echoseg_ros.nodes.audio_inputs import AudioInputs
from echoseg_ros.nodes.node_base import EchosegBase
from echoseg_ros.nodes.outputs import NodeOutputs
from echoseg_ros.nodes.statistics import live_statistics
from echoseg_ros.pipeline.live import LivePipeline
from echoseg_ros.pipeline.warmup import warm_up


class SoundNode(EchosegBase):
    """Microphones and poses in, evidence out."""

    def __init__(self, **options: Any) -> None:
        super().__init__("sound_node", **options)
        self.array_source = ArraySource(self)
        self.outputs = NodeOutputs(self, has_map=False, has_sound=True, always_publish_evidence=True)
        array = None if self.array_source.from_tf else self.array_source.array
        self.live = LivePipeline(self.config, self.outputs, array, device=None)
        warm_up(self.config, self.array_source.array, None)
        self.start(self.live)
        self.subscribe_for_camera_frame()
        self.subscribe_to_poses(self.live.put)
        AudioInputs(self, self.live, self.array_source, self.outputs.format_refusal)

    def statistics(self) -> dict[str, str]:
        """For the diagnostics."""
        return live_statistics(self.live)
