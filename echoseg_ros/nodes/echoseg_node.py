"""Sound and objects in one process: the default node. Evidence goes from the array to the decision as an object."""

from __future__ import annotations

from typing import Any

from echoseg_ros.nodes.array_source import ArraySource
from echoseg_ros.nodes.audio_inputs import AudioInputs
from echoseg_ros.nodes.camera_inputs import subscribe_to_camera
from echoseg_ros.nodes.node_base import EchosegBase
from echoseg_ros.nodes.outputs import NodeOutputs
from echoseg_ros.nodes.services import MapServices
from echoseg_ros.nodes.statistics import live_statistics
from echoseg_ros.pipeline.live import LivePipeline
from echoseg_ros.pipeline.warmup import warm_up


class EchosegNode(EchosegBase):
    """Camera and microphones in, sounding objects out."""

    def __init__(self, **options: Any) -> None:
        super().__init__("echoseg_node", **options)
        self.array_source, device = ArraySource(self), self.chosen_device()
        self.outputs = NodeOutputs(self, has_map=True, has_sound=True)
        array = None if self.array_source.from_tf else self.array_source.array
        self.live = LivePipeline(self.config, self.outputs, array, device, self.params.use_depth)
        warm_up(self.config, self.array_source.array, device)
        self.map_services = MapServices(self, self.live, self.outputs)
        self.start(self.live)
        # Subscribed only now: whoever waits for a subscriber waits for a node that is ready.
        self.subscribe_to_poses(self.live.put)
        AudioInputs(self, self.live, self.array_source, self.outputs.format_refusal)
        subscribe_to_camera(self, self.live)

    def statistics(self) -> dict[str, str]:
        """For the diagnostics."""
        return live_statistics(self.live) | self.outputs.latencies.statistics()

    def finish(self) -> None:
        """Stop the threads and write the run's files where a folder is set."""
        super().finish()
        self.map_services.save_results()
