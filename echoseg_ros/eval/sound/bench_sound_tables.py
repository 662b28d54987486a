"""Tables of `echoseg bench sound`: all cases, figures and targets as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from echoseg_ros.eval.bench import TARGET_COLUMNS, Row, figure_lines, figure_text, text_table
from echoseg_ros.eval.sound.bench_sound_figures import Results, array_rows, case_row, figures_of, sound_target_rows

# Columns of the tables: head and key of the rows. A trailing space makes a repeated head unique.
_POSITION_COLUMNS = {
    "case": "case", "runs": "runs", "dir deg": "direction_deg_p50", "p90": "direction_deg_p90",
    "azimuth": "azimuth_deg_p50", "place m": "position_m_p50", "p90 ": "position_m_p90",
    "ransac": "ransac_position_m_p50", "right": "right_object", "likeliest": "likeliest_object", "wrong": "wrong_object",
    "in 95 %": "covariance_coverage_95", "after s": "time_to_right_s_p50", "false": "false_objects", "hours": "hours",
    "ms": "extract_ms", "judge ms": "judge_ms",
}  # fmt: skip
_ARRAY_COLUMNS = {
    "one source": "case", "runs": "runs", "right": "right_object", "likeliest": "likeliest_object",
    "wrong": "wrong_object", "in 95 %": "covariance_coverage_95", "after s": "time_to_right_s_p50",
}  # fmt: skip
_SEVERAL_SOURCES_COLUMNS = {
    "case": "case", "runs": "runs", "recall": "recall", "count right": "count_right", "all right": "right_object",
    "place m": "position_m_p50", "p90": "position_m_p90",
}  # fmt: skip
_BASELINE_COLUMNS = {
    "case": "case", "dir deg": "compared_direction_deg_p50", "SRP-PHAT": "SRP_direction_deg_p50",
    "NormMUSIC": "NormMUSIC_direction_deg_p50", "MUSIC": "MUSIC_direction_deg_p50", "place m": "position_m_p50",
    "louder side, averaged": "reference_position_m_p50", "raw": "reference_raw_position_m_p50", "right": "right_object",
    "averaged": "reference_right_object", "raw ": "reference_raw_right_object",
}  # fmt: skip
_CALIBRATION_COLUMNS = {
    "case": "case", "runs": "runs", "left ms": "calibration_ms_p50", "p90": "calibration_ms_p90",
    "left deg": "calibration_deg_p50", "p90 ": "calibration_deg_p90", "knows offset": "knows_offset", "yaw": "knows_yaw",
    "of these ms p90": "believed_ms_p90", "of these deg p90": "believed_deg_p90", "ms": "estimate_ms",
}  # fmt: skip
_COST_COLUMNS = {
    "case": "case", "core share": "core_share", "evidence only": "evidence_core_share", "windows": "windows",
    "listen ms": "listen_ms", "judge ms": "judge_ms", "label ms": "label_ms", "extract ms": "extract_ms",
    "back-project ms": "back_project_ms",
}  # fmt: skip
# Width of the names of figures in the printed list, characters.
_NAME_WIDTH = 42


def report(results: Results) -> str:
    """All tables, figures without a target, and targets as text; tables without rows are left out."""
    rows = [(case.kind, case_row(case, runs)) for case, runs in results]
    tables = [
        ([row for kind, row in rows if kind not in ("calibration", "cost")], _POSITION_COLUMNS),
        (array_rows(results), _ARRAY_COLUMNS),
        ([row for kind, row in rows if kind == "several"], _SEVERAL_SOURCES_COLUMNS),
        (
            [row for _, row in rows if "SRP_direction_deg_p50" in row or "reference_right_object" in row],
            _BASELINE_COLUMNS,
        ),
        ([row for kind, row in rows if kind == "calibration"], _CALIBRATION_COLUMNS),
        ([row for kind, row in rows if kind == "cost"], _COST_COLUMNS),
    ]
    parts = [_table(table_rows, columns) for table_rows, columns in tables if table_rows]
    figures = figures_of(results)
    targets = sound_target_rows(figures)
    with_target = {row["figure"] for row in targets}
    others = {name: value for name, value in figures.items() if name not in with_target and value is not None}
    parts += [figure_lines(others, _NAME_WIDTH)] if others else []
    return "\n\n".join([*parts, _table(targets, {column: column for column in TARGET_COLUMNS})])


def _table(rows: Sequence[Row], columns: Mapping[str, str]) -> str:
    """Rows as text with four significant digits; columns without any value are left out."""
    used = {head: key for head, key in columns.items() if any(row.get(key) is not None for row in rows)}
    cells = [{head: figure_text(row.get(key)) for head, key in used.items()} for row in rows]
    return text_table(cells, tuple(used))
