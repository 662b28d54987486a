"""Sound and objects in one process: the default. The evidence goes from one to the other as an object."""

from __future__ import annotations

from typing import Any

from echoseg_ros.nodes.beams import BeamHalf
from echoseg_ros.nodes.map_half import MapHalf, chosen_device
from echoseg_ros.nodes.node_base import EchosegBase
from echoseg_ros.nodes.services import MapServices
from echoseg_ros.nodes.sound_half import SoundHalf
from echoseg_ros.nodes.verdict_half import VerdictHalf
from echoseg_ros.pipeline.warmup import warm_up


class EchosegNode(EchosegBase):
    """Camera and microphones in, sounding objects out."""

    def __init__(self, **options: Any) -> None:
        super().__init__("echoseg_node", **options)
        device = chosen_device(self.params.device)
        self.map_half = MapHalf(self, device)
        self.verdict_half = VerdictHalf(self, self.map_half)
        self.sound_half = SoundHalf(self, self.verdict_half.add, self.verdict_half.rewind, always_publish=False)
        self.beam_half = BeamHalf(self, self.sound_half)
        self.verdict_half.name = self.beam_half.name
        self.verdict_half.heard_as = self.sound_half.heard_as
        warm_up(self.config, self.sound_half.array, device)
        self.map_services = MapServices(self, self.map_half, self.verdict_half, self.sound_half)
        self.start_workers()
        # Subscribed only now: whoever waits for a subscriber waits for a node that is ready.
        self.listen_to_poses()
        self.sound_half.listen()
        self.map_half.listen()

    def statistics(self) -> dict[str, str]:
        """For the diagnostics."""
        halves = (self.map_half, self.sound_half, self.verdict_half)
        return {key: value for half in halves for key, value in half.statistics().items()}

    def finish(self) -> None:
        """Stop the threads and write the run's files where a folder is set."""
        super().finish()
        self.map_services.save_results(self.beam_half.finish(self.verdict_half.verdict))
