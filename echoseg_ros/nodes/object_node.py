"""The map and the decision, fed with the evidence of any number of sound_nodes."""

from __future__ import annotations

from typing import Any

from echoseg_ros.nodes.array_source import DEFAULT_ARRAY
from echoseg_ros.nodes.camera_inputs import subscribe_to_camera
from echoseg_ros.nodes.evidence_inputs import EvidenceInputs
from echoseg_ros.nodes.node_base import EchosegBase
from echoseg_ros.nodes.outputs import NodeOutputs
from echoseg_ros.nodes.services import MapServices
from echoseg_ros.nodes.statistics import live_statistics
from echoseg_ros.pipeline.live import LivePipeline
from echoseg_ros.pipeline.warmup import warm_up
from echoseg_ros.sound.array.array_geometry import load_array


class ObjectNode(EchosegBase):
    """Camera and evidence in, sounding objects out. Where each array was comes from TF."""

    def __init__(self, **options: Any) -> None:
        super().__init__("object_node", **options)
        device = self.chosen_device()
        self.outputs = NodeOutputs(self, has_map=True, has_sound=False)
        self.live = LivePipeline(self.config, self.outputs, None, device, self.params.use_depth)
        warm_up(self.config, load_array(DEFAULT_ARRAY), device)
        self.map_services = MapServices(self, self.live, self.outputs)
        self.start(self.live)
        self.subscribe_to_poses(self.live.put)
        EvidenceInputs(self, self.live, self.subscribe_to_transforms())
        subscribe_to_camera(self, self.live)

    def statistics(self) -> dict[str, str]:
        """For the diagnostics."""
        return live_statistics(self.live, has_sound=False) | self.outputs.latencies.statistics()

    def finish(self) -> None:
        """Stop the threads and write the run's files where a folder is set."""
        super().finish()
        self.map_services.save_results()
