"""Counters of a live pipeline as words for the diagnostics."""

from __future__ import annotations

import math

from echoseg_ros.pipeline.live import MAP, LivePipeline
from echoseg_ros.sound.calibration.self_calibration import CalibrationEstimate


def live_statistics(live: LivePipeline, has_sound: bool = True) -> dict[str, str]:
    """Counters by name; those of a map or of sound that the node lacks are left out."""
    return (_map_statistics(live) if MAP in live.workers else {}) | (_sound_statistics(live) if has_sound else {})


def _map_statistics(live: LivePipeline) -> dict[str, str]:
    statistics, snapshot = live.map_statistics.get(), live.snapshot.get()
    counts = {f"frames {cause}": str(count) for cause, count in statistics.frames.items()}
    if statistics.topic_masks:
        counts |= {cause: str(count) for cause, count in statistics.topic_masks.items()}
        counts["masks dropped before the map saw them"] = str(live.dropped["masks"])
    return {
        **counts,
        "keyframes": str(statistics.keyframes),
        "gaussians": str(snapshot.gaussians),
        "instances": str(len(snapshot.instances)),
    }


def _sound_statistics(live: LivePipeline) -> dict[str, str]:
    statistics = live.sound_statistics.get()
    seconds = {
        "audio received_s": f"{statistics.received_s + live.dropped_audio_s:.2f}",
        "audio dropped_s": f"{statistics.dropped_s + live.dropped_audio_s:.2f}",
    }
    return seconds if statistics.calibration is None else seconds | _calibration_statistics(statistics.calibration)


def _calibration_statistics(found: CalibrationEstimate) -> dict[str, str]:
    values = {
        "calibration offset_s": f"{found.offset_s:.4f}",
        "calibration sigma_offset_s": f"{found.sigma_offset_s:.4f}",
        "calibration yaw_deg": f"{math.degrees(found.yaw_rad):.2f}",
        "calibration sigma_yaw_deg": f"{math.degrees(found.sigma_yaw_rad):.2f}",
        "calibration knows_offset": str(found.knows_offset),
        "calibration knows_yaw": str(found.knows_yaw),
    }
    if found.head_radius_m is not None:
        values["calibration head_radius_m"] = f"{found.head_radius_m:.4f}"
        values["calibration sigma_head_radius_m"] = f"{found.sigma_head_radius_m:.4f}"
    return values
