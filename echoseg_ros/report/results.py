"""The files of a run: run.json, objects.json, why.json, timeline.json, metrics.json and map.ply."""

from __future__ import annotations

import platform
import resource
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import echoseg_ros
from echoseg_ros.config import Config
from echoseg_ros.io.files import write_json
from echoseg_ros.mapping.map_copy import MapCopy
from echoseg_ros.objects.map_snapshot import instance_ids
from echoseg_ros.objects.reasons import Reasons
from echoseg_ros.pipeline.decision_stage import DecisionStage
from echoseg_ros.pipeline.map_stage import MapStage
from echoseg_ros.pipeline.replay import ReplayedRun
from echoseg_ros.pipeline.run_counters import RunCounters
from echoseg_ros.pipeline.timeline import Timeline
from echoseg_ros.types import Box, Float64Array, Interval, MapSnapshot, SoundingObject, SoundSource, Verdict


@dataclass(frozen=True)
class RunInfo:
    """Circumstances of a run. start_ns: stamp of the first message, zero of all times; T_map_world: [4, 4]."""

    config: Config
    command: str
    device: str
    start_ns: int
    T_map_world: Float64Array = field(default_factory=lambda: np.eye(4))


@dataclass(frozen=True)
class MapState:
    """Copy of the map for the files of a run, for any thread. instance_ids: [N], -1 for none; psnr_db: of held-out views."""

    map: MapCopy
    instance_ids: NDArray[np.int32]
    snapshot: MapSnapshot
    psnr_db: float | None

    @staticmethod
    def of(map_stage: MapStage, stamp_ns: int) -> MapState:
        """Copy the map; call it on the thread that owns the map."""
        copy = map_stage.mapper.copy()
        snapshot = map_stage.snapshot(stamp_ns)
        return MapState(copy, instance_ids(copy.uids, snapshot.instances), snapshot, map_stage.psnr_db())


@dataclass(frozen=True)
class RunFiles:
    """The files of a run before they are written. documents: content of the JSON files by name."""

    documents: dict[str, Any]
    state: MapState
    audio_intensity: NDArray[np.float32]

    def write(self, out: Path) -> None:
        """Write all files atomically into the folder `out`."""
        for name, content in self.documents.items():
            write_json(Path(out) / name, content)
        self.state.map.write(Path(out) / "map.ply", self.state.instance_ids, self.audio_intensity)


def run_files(
    info: RunInfo,
    counters: RunCounters,
    state: MapState,
    decision: DecisionStage,
    verdict: Verdict,
    timeline: Timeline,
) -> RunFiles:
    """The files of a run as far as they do not need the truth."""
    documents = {
        "run.json": _run_json(info),
        "objects.json": objects_json(verdict, state.snapshot, info.start_ns),
        "why.json": why_json(decision.explain(verdict, state.snapshot), info.start_ns),
        "timeline.json": timeline.as_json(info.start_ns),
        "metrics.json": metrics_json(counters, state.snapshot.gaussians, state.psnr_db),
    }
    return RunFiles(documents, state, audio_intensity(decision, state.map.means, verdict))


def write_run(out: Path, info: RunInfo, run: ReplayedRun) -> None:
    """Collect and write the files of a finished replay."""
    state = MapState.of(run.map_stage, run.verdict.stamp_ns)
    run_files(info, run.counters, state, run.sound.decision_stage, run.verdict, run.timeline).write(out)


def audio_intensity(decision: DecisionStage, means: NDArray[np.float32], verdict: Verdict) -> NDArray[np.float32]:
    """[N] in [0, 1], share of the heard sound from each Gaussian; the largest is 1 if the verdict has a source."""
    score = decision.score(means)
    loudest = float(score.max(initial=0.0))
    return score / np.float32(loudest) if verdict.sources and loudest > 0 else score


def objects_json(verdict: Verdict, snapshot: MapSnapshot, start_ns: int) -> dict[str, Any]:
    """Content of objects.json: sounding objects, sources by activity, all instances."""
    return {
        "objects": [_object_json(sounding, start_ns) for sounding in verdict.sounding],
        "sources": [_source_json(s) for s in sorted(verdict.sources, key=lambda s: -s.activity)],
        "instances": [{"id": i.id, **_box_json(i.box), "gaussians": len(i.uids)} for i in snapshot.instances],
    }


def why_json(reasons: tuple[Reasons, ...], start_ns: int) -> list[dict[str, Any]]:
    """Content of why.json: the most probable objects of each source with reasons (t_s, share) and the rival."""
    return [
        {
            "source_id": why.source_id,
            "object_id": why.object_id,
            "probability": _rounded(why.probability),
            "rank": why.rank,
            "rival_id": why.rival_id,
            "rival_probability": _rounded(why.rival_probability),
            "windows": [_reason_json(reason, start_ns) for reason in why.windows],
            "views": [_reason_json(reason, start_ns) for reason in why.views],
        }
        for why in reasons
    ]


def metrics_json(counters: RunCounters, gaussians: int, psnr_db: float | None) -> dict[str, Any]:
    """Content of metrics.json without the metrics that need the truth."""
    busiest_s = max(counters.busy_s.values(), default=0.0)
    return {
        "realtime_factor": round(counters.recorded_s / busiest_s, 3) if busiest_s > 0 else None,
        "busy_s": {name: round(value, 3) for name, value in counters.busy_s.items()},
        "latency_ms": _percentiles(counters.latencies_ms),
        "frames": {
            "received": counters.frames_received,
            "keyframes": counters.keyframes,
            "dropped": counters.frames_dropped,
        },
        "audio": {
            "received_s": round(counters.audio_received_s, 3),
            "dropped_s": round(counters.audio_dropped_s, 3),
        },
        "gaussians": gaussians,
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "psnr_db": None if psnr_db is None else round(psnr_db, 3),
    }


def _percentiles(latencies_ms: Sequence[float]) -> dict[str, float] | None:
    if not latencies_ms:
        return None
    return {f"p{p}": round(float(np.percentile(latencies_ms, p)), 1) for p in (50, 95, 99)}


def _run_json(info: RunInfo) -> dict[str, Any]:
    packages = ("numpy", "torch", "numba", "scipy", "opencv-python", "gsplat")
    return {
        "command": info.command,
        "config": info.config.flat(),
        "device": info.device,
        "start_ns": info.start_ns,
        "T_map_world": np.asarray(info.T_map_world).tolist(),
        "versions": {
            "echoseg_ros": echoseg_ros.__version__,
            "python": platform.python_version(),
            **{name: version for name in packages if (version := _version(name))},
        },
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _object_json(sounding: SoundingObject, start_ns: int) -> dict[str, Any]:
    instance = sounding.instance
    return {
        "id": instance.id,
        **_box_json(instance.box),
        "probability": _rounded(sounding.probability),
        "label": sounding.label,
        "heard_s": [_interval_s(interval, start_ns) for interval in sounding.source.heard_intervals],
        "gaussians": len(instance.uids),
    }


def _source_json(source: SoundSource) -> dict[str, Any]:
    return {
        "position_m": _rounded(source.position_m),
        "covariance_m2": np.asarray(source.covariance_m2, dtype=float).tolist(),
        "activity": _rounded(source.activity),
        "label": source.label,
        "object_id": source.object_id,
        "candidates": [[candidate, _rounded(probability)] for candidate, probability in source.candidates],
        "alternatives": [[_rounded(place), _rounded(probability)] for probability, place in source.alternatives],
        "hint": None if source.hint is None else source.hint.text,
    }


def _box_json(box: Box) -> dict[str, Any]:
    """Position, size and orientation of a box; the position is its centre, not the centroid of the Gaussians."""
    return {
        "position_m": _rounded(box.center_m),
        "size_m": _rounded(box.size_m),
        "orientation_xyzw": _rounded(box.quaternion_xyzw, 6),
    }


def _reason_json(reason: tuple[int, float], start_ns: int) -> dict[str, float]:
    stamp_ns, share = reason
    return {"t_s": round((stamp_ns - start_ns) / 1e9, 3), "share": round(share, 4)}


def _interval_s(interval: Interval, start_ns: int) -> list[float]:
    return [round((interval.start_ns - start_ns) / 1e9, 3), round((interval.end_ns - start_ns) / 1e9, 3)]


def _rounded(value: Any, digits: int = 4) -> Any:
    return np.round(np.asarray(value, dtype=float), digits).tolist()
