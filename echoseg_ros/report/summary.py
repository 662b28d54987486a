"""The results of a run as a table for the terminal."""

from __future__ import annotations

from typing import Any

from echoseg_ros.report.run_folder import RunFolder


def summary_table(metrics: dict[str, Any], run: RunFolder) -> str:
    """The results of a run as lines of name and value."""
    rows = [("sounding objects", _objects_text(run)), *_truth_rows(metrics)]
    frames, audio, latency = metrics["frames"], metrics["audio"], metrics["latency_ms"]
    rows += [
        ("map", f"{metrics['gaussians']} Gaussians, {len(run.objects['instances'])} instances"),
        ("held-out views", "none" if metrics["psnr_db"] is None else f"PSNR {metrics['psnr_db']:.1f} dB"),
        ("frames", f"{frames['received']} received, {frames['keyframes']} keyframes, {frames['dropped']} dropped"),
        ("audio", f"{audio['received_s']:.1f} s received, {audio['dropped_s']:.1f} s dropped"),
        ("real-time factor", f"{metrics['realtime_factor']}"),
    ]
    if latency:
        rows.append(
            ("latency", f"p50 {latency['p50']:.0f} ms, p95 {latency['p95']:.0f} ms, p99 {latency['p99']:.0f} ms")
        )
    rows += [("peak memory", f"{metrics['peak_rss_mb']:.0f} MB"), ("files", str(run.path))]
    width = max(len(name) for name, _ in rows)
    line = "-" * (width + 60)
    return "\n".join([line, *(f"{name:<{width}}  {text}" for name, text in rows), line])


def _objects_text(run: RunFolder) -> str:
    """The sounding objects in words."""
    entries = run.objects["objects"]
    if not entries:
        return "none" + (" (a source elsewhere)" if run.objects["sources"] else "")
    return "; ".join(f"{e['label']} at {_position_text(e['position_m'])}, {e['probability']:.0%}" for e in entries)


def _position_text(position_m: list[float]) -> str:
    return "(" + ", ".join(f"{value:.2f}" for value in position_m) + ") m"


def _truth_rows(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    """Rows of the metrics against the truth; none without truth."""
    if "false_objects" not in metrics:
        return []
    if metrics["correct_object"] is None:
        return [("truth", f"silence; {metrics['false_objects']} false sounding objects")]
    error, iou, time_s = metrics["source_error_m"], metrics["box_iou"], metrics["time_to_right_s"]
    return [
        ("right object", "yes" if metrics["correct_object"] else "NO"),
        ("source error", "missed" if error is None else f"{error:.3f} m"),
        ("box IoU", "-" if iou is None else f"{iou:.2f}"),
        ("right after", "never" if time_s is None else f"{time_s:.1f} s"),
    ]
