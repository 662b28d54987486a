"""Labels of sources in a simulated room, the beam as a stream, and taggers that are slow or fail."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sound_descriptions import DESCRIPTIONS, RATE_HZ
from waves import path

from echoseg_ros.config import Config
from echoseg_ros.pipeline.labelling_stage import LabellingStage
from echoseg_ros.sound.array.array_geometry import load_array
from echoseg_ros.sound.labels.labeller import same_label
from echoseg_ros.types import AudioWindow, Interval, SoundSource, Verdict
from echoseg_sim.acoustics.array_audio import simulate_array
from echoseg_sim.acoustics.reverberation import Shoebox
from echoseg_sim.acoustics.sounds import load_sound
from echoseg_sim.acoustics.source_signal import SimulatedSource

Signal = NDArray[np.floating[Any]]
Position = NDArray[np.float64]

# Sounds that are also recorded by a moving array.
MOVING = ("builtin:beeps", "builtin:tick")


def source_at(place_m: Position, until_s: float, source_id: int = 4) -> SoundSource:
    heard = (Interval(0, round(until_s * 1e9)),)
    return SoundSource(source_id, place_m, 0.003 * np.eye(3), 1.0, None, ((None, 1.0),), heard)


def room_windows(
    sounds: list[tuple[str, Position]], seed: int, seconds: float = 7.0, moving: bool = False
) -> list[AudioWindow]:
    """Windows of a cube8 in a room of 0.4 s at an SNR of 10 dB. Standing still it hears the same responses: that is fast."""
    array = load_array("cube8")
    count = round(seconds / 0.25) + 1
    poses = np.array(path(count) if moving else path(2)[:1] * count)
    sources = [
        SimulatedSource(name, place, load_sound(name, RATE_HZ, seed), ((0.0, seconds),)) for name, place in sounds
    ]
    box = Shoebox(np.zeros(3), np.array([6.0, 5.0, 2.7]))
    result = simulate_array(
        box, 0.4, array, list(poses), (np.arange(count) * 0.25).tolist(), sources, seconds, 10.0, seed
    )
    samples = result.samples.T
    return [
        AudioWindow(round((k + 1) * 0.25e9), samples[:, k * 4000 : k * 4000 + 8000], RATE_HZ, poses[k + 1])
        for k in range(count - 2)
    ]


def labelled(
    windows: list[AudioWindow], sources: Sequence[Callable[[float], SoundSource]], config: Config | None = None
) -> tuple[list[Verdict], LabellingStage]:
    stage = LabellingStage(config or Config(), load_array("cube8"))
    verdicts = []
    for window in windows:
        stage.add(window)
        at_s = window.stamp_ns / 1e9
        verdict = Verdict(window.stamp_ns, window.stamp_ns, tuple(source(at_s) for source in sources))
        verdicts.append(stage.label(verdict))
    return verdicts, stage


@pytest.mark.parametrize("sound", DESCRIPTIONS)
def test_in_a_live_room_the_beam_still_says_what_it_is(sound: str) -> None:
    """RT60 0.4 s, SNR 10 dB and a position that is off by 7 cm an axis: the verdicts' labels."""
    rng = np.random.default_rng(5)
    place = np.array([3.2, 3.4, 0.8]) + rng.uniform(-0.4, 0.4, 3)
    believed = place + rng.normal(0, 0.07, 3)
    verdicts, _ = labelled(
        room_windows([(sound, place)], 5, moving=sound in MOVING), [lambda at_s: source_at(believed, at_s)]
    )
    labels = [verdict.sources[0].label for verdict in verdicts]
    assert labels[0] == ""  # not before there is enough to hear
    assert re.fullmatch(DESCRIPTIONS[sound], labels[-1])
    assert all(same_label(label, labels[-1]) for label in labels[16:])
    assert sum(a != b for a, b in zip(labels[16:], labels[17:])) <= 1


def test_two_sources_at_once_are_told_apart() -> None:
    places = [np.array([3.6, 3.4, 0.8]), np.array([1.0, 3.6, 1.3])]
    windows = room_windows([("builtin:speech", places[0]), ("builtin:tone", places[1])], 2)
    sources = [lambda at_s: source_at(places[0], at_s, 1), lambda at_s: source_at(places[1], at_s, 2)]
    verdicts, stage = labelled(windows, sources)
    beams = stage.signals(verdicts[-1])
    assert set(beams) == {1, 2}
    # 440 Hz and its harmonics are weaker in the beam towards the speech, by 5 dB through the room's echoes.
    tone_share = {}
    for key, beam in beams.items():
        spectrum = np.abs(np.fft.rfft(beam.samples * np.hanning(len(beam.samples)))) ** 2
        bins_hz = np.fft.rfftfreq(len(beam.samples), 1 / RATE_HZ)
        tones = np.any([np.abs(bins_hz - 440 * k) < 4 for k in range(1, 6)], axis=0)
        tone_share[key] = spectrum[tones].sum() / spectrum.sum()
    ratio_db = {key: 10 * np.log10(share / (1 - share)) for key, share in tone_share.items()}
    assert ratio_db[2] - ratio_db[1] > 4.0
    assert "tone at 440 Hz" in verdicts[-1].sources[1].label


def test_a_source_that_falls_silent_keeps_its_label() -> None:
    place = np.array([3.2, 3.4, 0.8])
    windows = room_windows([("builtin:tick", place)], 1)
    silent = [replace(w, samples=np.float32(1e-5) * np.ones_like(w.samples)) for w in windows[20:]]
    verdicts, _ = labelled(windows[:20] + silent, [lambda at_s: source_at(place, min(at_s, 5.2))])
    assert {verdict.sources[0].label for verdict in verdicts[12:]} == {"regular tick, 2.0 per second"}


def test_the_newest_pieces_join_to_the_whole_beam() -> None:
    place = np.array([3.2, 3.4, 0.8])
    windows = room_windows([("builtin:speech", place)], 3, 3.0)
    stage = LabellingStage(Config(), load_array("cube8"))
    pieces = []
    for window in windows:
        stage.add(window)
        verdict = Verdict(window.stamp_ns, 0, (source_at(place, 3.0),))
        pieces.append(stage.newest_signal(verdict.sources[0], verdict))
    whole = stage.signals(verdict).get(verdict.sources[0].id)
    assert pieces[0] is None and whole is not None
    later = [piece for piece in pieces[1:] if piece is not None]
    assert len(later) == len(pieces) - 1
    joined = np.concatenate([piece.samples for piece in later])
    np.testing.assert_array_equal(joined, whole.samples[4000 : 4000 + len(joined)])
    assert [piece.stamp_ns for piece in later[:2]] == [250_000_000, 500_000_000]


class SlowTagger:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.calls = 0

    def tag(self, signal: Signal, rate_hz: float) -> list[tuple[str, float]]:
        self.calls += 1
        time.sleep(0.2)
        return [(f"call {'odd' if self.calls % 2 else 'even'}", 0.9), ("nothing", 0.1)]


def test_a_slow_tagger_does_not_hold_up_the_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    tagger = SlowTagger()
    monkeypatch.setattr("echoseg_ros.sound.labels.labeller.make_tagger", lambda config: tagger)
    place = np.array([3.2, 3.4, 0.8])
    rng = np.random.default_rng(0)
    stage = LabellingStage(Config(), load_array("cube8"), live=True)
    slowest_s = 0.0
    for k in range(28):
        samples = rng.standard_normal((8, 8000)).astype(np.float32)
        window = AudioWindow(round((k + 1) * 0.25e9), samples, RATE_HZ, np.eye(4))
        stage.add(window)
        start_s = time.perf_counter()
        verdict = stage.label(Verdict(window.stamp_ns, 0, (source_at(place, window.stamp_ns / 1e9),)))
        slowest_s = max(slowest_s, time.perf_counter() - start_s)
        time.sleep(0.02)
    assert stage._worker is not None and stage._worker.drain(10.0)
    verdict = stage.label(verdict)  # takes the answers that came meanwhile
    stage.stop()
    assert slowest_s < 0.1
    assert 1 <= tagger.calls <= 6  # once a second of sound, and less when it is slower than that
    assert verdict.sources[0].label == "call odd"


def test_a_tagger_that_fails_is_said_once_and_the_run_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing:
        def tag(self, signal: Signal, rate_hz: float) -> list[tuple[str, float]]:
            raise RuntimeError("out of memory")

    monkeypatch.setattr("echoseg_ros.sound.labels.labeller.make_tagger", lambda config: Failing())
    windows = [
        AudioWindow(round((k + 1) * 0.25e9), np.ones((8, 8000), np.float32), RATE_HZ, np.eye(4)) for k in range(24)
    ]
    verdicts, _ = labelled(windows, [lambda at_s: source_at(np.ones(3), at_s)])
    assert {verdict.sources[0].label for verdict in verdicts} == {""}
    assert [record.message for record in caplog.records] == ["no labels: RuntimeError('out of memory')"]


def test_without_a_tagger_the_verdict_stays_as_it_is() -> None:
    off = Config().updated({"label.tagger": "off"})
    verdict = Verdict(0, 0, (source_at(np.ones(3), 1.0),))
    assert LabellingStage(off, load_array("cube8")).label(verdict) is verdict
