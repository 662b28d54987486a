"""Labels that do not flicker, and refused taggers."""

from __future__ import annotations

import pytest

from echoseg_ros.config import Config
from echoseg_ros.errors import BackendError
from echoseg_ros.sound.array.array_geometry import load_array
from echoseg_ros.sound.labels.labeller import Labeller, SteadyLabel, same_label


def test_labels_that_differ_in_a_little_number_are_the_same() -> None:
    assert same_label("beeps at 2.1 kHz, 2.0 per second", "beeps at 2.0 kHz, 1.9 per second")
    assert same_label("steady tone at 990 Hz", "steady tone at 1.0 kHz") is False  # other words, the same in two steps
    assert not same_label("regular tick, 2.0 per second", "regular tick, 1.0 per second")
    assert not same_label("regular tick, 2.0 per second", "irregular clicks")


def test_a_label_changes_when_it_is_said_twice_in_a_row() -> None:
    label = SteadyLabel()
    tick, slip = "regular tick, 2.0 per second", "irregular clicks"
    shown = [label.update(text) for text in (tick, slip, tick, slip, slip, "irregular clicks", tick)]
    assert shown == [tick, tick, tick, tick, slip, slip, slip]
    assert SteadyLabel().update("regular tick, 2.0 per second") == tick
    label = SteadyLabel()
    first, better = "regular tick, 2.1 per second", tick
    assert [label.update(text) for text in (first, better, better, better)] == [first, first, first, better]
    moved = SteadyLabel()
    assert {moved.update(f"regular tick, {rate} per second") for rate in (2.0, 2.1, 1.9, 2.1)} == {tick}


def test_a_tagger_that_is_not_available_is_refused() -> None:
    with pytest.raises(BackendError, match="label.model_path is not set"):
        Labeller(Config().updated({"label.tagger": "ast"}), load_array("cube8"))
