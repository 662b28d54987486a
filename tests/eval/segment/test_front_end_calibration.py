"""The search for parameters with an invented relation between parameters and scores."""

from __future__ import annotations

from typing import Any

import pytest

from echoseg_ros.eval.segment import front_end_calibration
from echoseg_ros.eval.segment.compared_methods import FRONT_END, NO_AISRM
from echoseg_ros.eval.segment.evaluate_report import is_comparison_void
from echoseg_ros.eval.segment.front_end import FrontEnd


def invented_rows(scenes: object, front_end: FrontEnd) -> list[dict[str, Any]]:
    """Scores as published at miss 0.45, edge 0.18 and false_mask 0.2; every error lowers them."""
    lost = (0.45 - front_end.miss, 0.18 - front_end.edge, 0.2 - front_end.false_mask)
    alone = {"miou": 0.693 + 0.5 * lost[0] + 0.3 * lost[1], "f": 0.523 + 0.8 * lost[0] + 0.1 * lost[1]}
    lifted = {"miou": 0.761 + 0.1 * lost[0] + 0.6 * lost[1] + 0.2 * lost[2], "f": 0.628 + 0.2 * lost[0] + 0.7 * lost[1]}
    return [{"method": FRONT_END, "setting": "single", **alone}, {"method": NO_AISRM, "setting": "single", **lifted}]


def test_search_finds_parameters_that_score_as_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front_end_calibration, "score_front_end", invented_rows)
    start = FrontEnd(miss=0.1, edge=0.05, false_mask=0.5)
    assert is_comparison_void(invented_rows(None, start))
    found = front_end_calibration.search([], start, progress=False)
    assert not is_comparison_void(invented_rows(None, found))
    assert front_end_calibration.misfit(invented_rows(None, found)) < 0.02
    table = front_end_calibration.score_table(invented_rows(None, found))
    assert "0.693" in table and "0.609" in table


def test_the_search_keeps_shares_between_0_and_1(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def wants_negatives(scenes: object, front_end: FrontEnd) -> list[dict[str, Any]]:
        tried.append(front_end)
        return invented_rows(scenes, FrontEnd(miss=0.45 + front_end.miss, false_mask=0.2 + front_end.false_mask))

    monkeypatch.setattr(front_end_calibration, "score_front_end", wants_negatives)
    front_end_calibration.search([], FrontEnd(miss=0.05, false_mask=0.05), progress=False)
    assert all(0 <= fe.miss <= 1 and 0 <= fe.false_mask <= 1 and 0 <= fe.confused <= 1 and fe.edge >= 0 for fe in tried)
