"""A label for each source, from a beam towards it: asked for about once a second, more seldom while it stays, and steady.

Where a model is slow the tagger works in a thread of its own and a verdict carries the newest label there is;
otherwise it is asked at once, so that an offline run is repeatable.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field, replace

import numpy as np

from echoseg_ros.config import Config
from echoseg_ros.errors import EchosegError
from echoseg_ros.pipeline.worker import Worker
from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.sound.labels.beamformer import Beamformer, BeamSignal, HeardWindow, RecentAudio
from echoseg_ros.sound.labels.sound_features import compile_kernels
from echoseg_ros.sound.labels.taggers.factory import Tagger, make_tagger
from echoseg_ros.types import AudioWindow, Float64Array, SoundingObject, SoundSource, Verdict

log = logging.getLogger(__name__)

# A label needs this much sound, and comes from a source that was heard this lately.
LEAST_S, LATELY_S = 2.0, 1.0
# What is heard of a source begins and ends this much before and after the windows that say so.
MARGIN_S = 0.25
# A label changes when another one comes this often in succession; one that differs only in numbers, by no more than this
# share, has to come more often.
OTHER_TIMES, NEAR_TIMES, NEAR_SHARE = 2, 3, 0.1
# Slow taggers leave the cores to the sound and the map.
NICENESS = 5
# While a source's label stays it is asked for more and more seldom, at last so many times the shortest period.
CALM_TIMES = 4.0
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:\s*kHz)?")


class SteadyLabel:
    """A text that does not flicker: what is said twice in a row replaces it, three times if only numbers moved a little."""

    def __init__(self) -> None:
        self.text = ""
        self._next = ""
        self._times = 0

    def update(self, text: str) -> str:
        """Take what was said last; returns what to show."""
        if not self.text:
            self.text = text
        near = same_label(text, self.text)
        again = text == self._next if near else same_label(text, self._next)
        self._times = self._times + 1 if again else 1
        self._next = text
        if self._times >= (NEAR_TIMES if near else OTHER_TIMES):
            self.text = text
        return self.text


def same_label(a: str, b: str) -> bool:
    """Whether two labels differ in nothing but numbers that are nearly equal."""
    if _NUMBER.sub("#", a) != _NUMBER.sub("#", b):
        return False
    pairs = zip(_numbers(a), _numbers(b))
    return all(abs(x - y) <= NEAR_SHARE * max(x, y) for x, y in pairs)


def _numbers(text: str) -> list[float]:
    found = _NUMBER.findall(text)
    return [float(n.removesuffix("kHz")) * 1000 if n.endswith("kHz") else float(n) for n in found]


@dataclass(frozen=True)
class _Question:
    """A source to be named. windows: what was heard while it sounded; others_map: places of the other sources."""

    source_id: int
    position_map: Float64Array
    others_map: tuple[Float64Array, ...]
    windows: tuple[HeardWindow, ...]


@dataclass
class _Named:
    """What a source is called. calm: how many times the shortest period it may wait to be asked for again."""

    label: SteadyLabel = field(default_factory=SteadyLabel)
    asked_ns: int | None = None
    calm: float = 1.0
    shares: dict[str, float] = field(default_factory=dict)


class Labeller:
    """Keeps the last seconds of audio, listens to places in it and names the sources. The thread of the sound owns it.

    Raises BackendError if the tagger of the settings cannot be had.
    """

    def __init__(self, config: Config, array: ArrayGeometry) -> None:
        self._config, self._array = config, array
        self._tagger: Tagger | None = None if config.label.tagger == "off" else make_tagger(config.label)
        if self._tagger is not None:
            compile_kernels()
        self._recent: RecentAudio | None = None
        self._beam: Beamformer | None = None
        self._named: dict[int, _Named] = {}
        self._worker: Worker[_Question] | None = None
        self._failed = False

    def go_live(self) -> None:
        """From now on tag in a thread of its own; does nothing the second time."""
        if self._worker is None and self._tagger is not None:
            waiting = self._config.sources.max_sources
            self._worker = Worker("label", self._answer, waiting, on_error=self._say_once, niceness=NICENESS)
            self._worker.start()

    def stop(self) -> None:
        """End that thread."""
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def add(self, window: AudioWindow) -> None:
        """Remember a window; poses and places of sources have the same unit."""
        if self._recent is None or self._recent.sample_rate_hz != window.sample_rate_hz:
            hop_s = self._config.sound.hop_s
            self._recent = RecentAudio(window.sample_rate_hz, hop_s, self._config.label.memory_s)
            self._beam = None
        self._recent.add(window)
        if self._beam is None:
            metric = self._config.input.pose_units == "metres"
            recent, method = self._recent, self._config.label.beam
            self._beam = Beamformer(self._array, recent.sample_rate_hz, recent.hop, recent.length, method, metric)

    def clear(self) -> None:
        """Forget audio and labels: time starts again."""
        if self._recent is not None:
            self._recent.clear()
        self._named.clear()

    def name(self, verdict: Verdict) -> Verdict:
        """The verdict with the sources' labels, which sounding objects take over; asks for new ones where due."""
        if self._tagger is None:
            return verdict
        self._named = {source.id: self._named.get(source.id, _Named()) for source in verdict.sources}
        for source in verdict.sources:
            self._ask_if_due(source, verdict)
        return _labelled(verdict, {key: named.label.text for key, named in self._named.items()})

    def heard_as(self) -> dict[int, dict[str, float]]:
        """By source, how much of what it last sounded like goes to each name that the tagger knows; {} before the first."""
        return {key: named.shares for key, named in self._named.items()}

    def beam(self, source: SoundSource, verdict: Verdict, last_s: float | None = None) -> BeamSignal | None:
        """What came from a source of the verdict in the last seconds (all that is kept, without a time)."""
        windows = self._recent.windows(last_s) if self._recent is not None else ()
        return self._listen(_Question(source.id, source.position_m, _others(source, verdict), windows))

    def beams(self, verdict: Verdict) -> dict[int, BeamSignal]:
        """All that is kept of what came from each source, by its id."""
        heard = {source.id: self.beam(source, verdict) for source in verdict.sources}
        return {key: signal for key, signal in heard.items() if signal is not None}

    def newest(self, source: SoundSource, verdict: Verdict) -> BeamSignal | None:
        """The hop of the beam that the last window completed: from window to window a stream without gaps."""
        if self._recent is None or len(windows := self._recent.windows()[-2:]) < 2:
            return None
        signal = self._listen(_Question(source.id, source.position_m, _others(source, verdict), windows))
        hop, begin = self._recent.hop, windows[1].first - windows[0].first
        if signal is None:
            return None
        stamp_ns = signal.stamp_ns + round(begin / signal.sample_rate_hz * 1e9)
        return BeamSignal(stamp_ns, signal.samples[begin : begin + hop], signal.sample_rate_hz)

    def _ask_if_due(self, source: SoundSource, verdict: Verdict) -> None:
        named = self._named[source.id]
        waited_ns = None if named.asked_ns is None else verdict.stamp_ns - named.asked_ns
        if waited_ns is not None and 0 <= waited_ns < named.calm * self._config.label.every_s * 1e9:
            return
        windows = self._heard_windows(source, verdict.stamp_ns)
        if not windows:
            return
        named.asked_ns = verdict.stamp_ns
        question = _Question(source.id, source.position_m, _others(source, verdict), windows)
        if self._worker is not None:
            self._worker.put(question)
            return
        try:
            self._answer(question)
        except Exception as error:
            self._say_once(error)

    def _heard_windows(self, source: SoundSource, now_ns: int) -> tuple[HeardWindow, ...]:
        """The last windows, from where the source began in them to where it ended; () for too few of them."""
        if self._recent is None or not source.heard or source.heard[-1].end_ns < now_ns - LATELY_S * 1e9:
            return ()
        windows = self._recent.windows(self._config.label.listen_s)
        margin_ns = round(MARGIN_S * 1e9)
        oldest_ns = windows[0].stamp_ns if windows else 0
        start_ns = min(span.start_ns for span in source.heard if span.end_ns >= oldest_ns) - margin_ns
        end_ns = source.heard[-1].end_ns + margin_ns
        windows = tuple(window for window in windows if start_ns <= window.stamp_ns <= end_ns)
        long_enough = len(windows) * self._config.sound.hop_s >= min(LEAST_S, self._config.label.listen_s)
        return windows if long_enough else ()

    def _answer(self, question: _Question) -> None:
        signal = self._listen(question)
        if signal is None or self._tagger is None:
            return
        tags = self._tagger.tag(signal.samples, signal.sample_rate_hz)
        named = self._named.get(question.source_id)
        if named is not None:
            named.shares = dict(tags)
        if named is not None and tags and tags[0][1] >= self._config.label.min_probability:
            stays = same_label(tags[0][0], named.label.text)
            named.calm = min(2 * named.calm, CALM_TIMES) if stays else 1.0
            named.label.update(tags[0][0])

    def _listen(self, question: _Question) -> BeamSignal | None:
        if self._beam is None or not question.windows:
            return None
        return self._beam.listen(question.windows, question.position_map, question.others_map)

    def _say_once(self, error: Exception) -> None:
        """A tagger that fails must not end the run: labels are left out, and why is said once."""
        if not self._failed:
            log.warning("no labels: %s", error if isinstance(error, EchosegError) else repr(error))
            self._failed = True


def _others(source: SoundSource, verdict: Verdict) -> tuple[Float64Array, ...]:
    """Sources that overlap the source in place are not told apart by a beam: they are left in."""
    others = (other.position_m for other in verdict.sources if other.id != source.id)
    spread_m = float(np.sqrt(np.trace(source.covariance_m2)))
    return tuple(place for place in others if np.linalg.norm(place - source.position_m) > 2 * spread_m)


def _labelled(verdict: Verdict, texts: dict[int, str]) -> Verdict:
    sources = {source.id: replace(source, label=texts.get(source.id, "")) for source in verdict.sources}
    sounding = tuple(_labelled_object(found, sources[found.source.id]) for found in verdict.sounding)
    return replace(verdict, sources=tuple(sources.values()), sounding=sounding)


def _labelled_object(found: SoundingObject, source: SoundSource) -> SoundingObject:
    return replace(found, source=source, label=f"{found.label}: {source.label}" if source.label else found.label)
