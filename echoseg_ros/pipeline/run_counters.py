"""What a run cost and what it lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from echoseg_ros.pipeline.map_stage import MapStatistics
from echoseg_ros.pipeline.sound_stage import SoundStatistics


@dataclass(frozen=True)
class QueueLosses:
    """Messages dropped in the queues of a live pipeline."""

    images: int = 0
    audio_s: float = 0.0


@dataclass(frozen=True)
class RunCounters:
    """Figures of a run. busy_s: seconds of work of each worker; latencies_ms: empty offline."""

    recorded_s: float
    busy_s: Mapping[str, float]
    frames_received: int
    frames_dropped: int
    keyframes: int
    audio_received_s: float
    audio_dropped_s: float
    latencies_ms: Sequence[float]

    @staticmethod
    def of(
        recorded_s: float,
        busy_s: Mapping[str, float],
        map_statistics: MapStatistics,
        sound_statistics: SoundStatistics,
        losses: QueueLosses = QueueLosses(),
        latencies_ms: Sequence[float] = (),
    ) -> RunCounters:
        """From the statistics of the stages and the losses in the queues."""
        received = map_statistics.frames.get("received", 0)
        assembled = map_statistics.frames.get("assembled", 0)
        return RunCounters(
            recorded_s=recorded_s,
            busy_s=dict(busy_s),
            frames_received=received + losses.images,
            frames_dropped=received - assembled + losses.images,
            keyframes=map_statistics.keyframes,
            audio_received_s=sound_statistics.received_s + losses.audio_s,
            audio_dropped_s=sound_statistics.dropped_s + losses.audio_s,
            latencies_ms=list(latencies_ms),
        )
