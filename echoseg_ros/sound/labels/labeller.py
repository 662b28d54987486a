"""Labels of the sources: which source is asked for when, from which windows, and a label that does not flicker."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from echoseg_ros.config import Config
from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.sound.labels.audio_buffer import AudioBuffer, BufferedWindow
from echoseg_ros.sound.labels.beamformer import Beamformer, BeamSignal
from echoseg_ros.sound.labels.sound_features import compile_kernels
from echoseg_ros.sound.labels.taggers.factory import Tagger, make_tagger
from echoseg_ros.types import AudioWindow, Float64Array, SoundingObject, SoundSource, Verdict

# A label needs this much sound.
MIN_SOUND_S = 2.0
# A source is asked for only if it was active this recently.
MAX_PAUSE_S = 1.0
# Windows of a source reach this far beyond its heard intervals.
MARGIN_S = 0.25
# A different label replaces the current one when it comes this often in succession.
OTHER_TIMES = 2
# A label that differs only in numbers, each by at most NEAR_SHARE of itself, has to come this often.
NEAR_TIMES = 3
NEAR_SHARE = 0.1
# Longest period between two labels of a source whose label stays, in units of `label.every_s`.
MAX_PERIODS = 4.0
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:\s*kHz)?")

# (name, probability), the most probable first.
Tags = Sequence[tuple[str, float]]


class SteadyLabel:
    """A text that does not flicker: a new one must come OTHER_TIMES, or NEAR_TIMES if only numbers moved a little."""

    def __init__(self) -> None:
        self.text = ""
        self._next = ""
        self._times = 0

    def update(self, text: str) -> str:
        """Take the newest text; returns the text to show."""
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
class LabelRequest:
    """A source to be labelled. windows: audio while it was active; others_map: positions [3] of the other sources."""

    source_id: int
    position_map: Float64Array
    others_map: tuple[Float64Array, ...]
    windows: tuple[BufferedWindow, ...]


@dataclass
class _SourceLabel:
    """State of one source. periods: of `label.every_s` until it may be asked for again; shares: of names, by name."""

    label: SteadyLabel = field(default_factory=SteadyLabel)
    asked_ns: int | None = None
    periods: float = 1.0
    shares: dict[str, float] = field(default_factory=dict)


class Labeller:
    """Buffers the last seconds of audio and knows the label of each source.

    `requests` says which sources are due, `tag` answers one request (slow; may run in another thread), `take` stores the
    answer. Raises BackendError if the tagger of the settings is not available.
    """

    def __init__(self, config: Config, array: ArrayGeometry) -> None:
        self._config, self._array = config, array
        self._tagger: Tagger | None = None if config.label.tagger == "off" else make_tagger(config.label)
        if self._tagger is not None:
            compile_kernels()
        self._buffer: AudioBuffer | None = None
        self._beamformer: Beamformer | None = None
        self._labels: dict[int, _SourceLabel] = {}

    @property
    def is_on(self) -> bool:
        """Whether there is a tagger (`label.tagger` is not off)."""
        return self._tagger is not None

    def add(self, window: AudioWindow) -> None:
        """Buffer a window; its pose and the positions of sources have the same unit."""
        if self._buffer is None or self._buffer.sample_rate_hz != window.sample_rate_hz:
            hop_s = self._config.sound.hop_s
            self._buffer = AudioBuffer(window.sample_rate_hz, hop_s, self._config.label.memory_s)
            self._beamformer = None
        self._buffer.add(window)
        if self._beamformer is None:
            metric = self._config.input.pose_units == "metres"
            buffer, method = self._buffer, self._config.label.beam
            self._beamformer = Beamformer(self._array, buffer.sample_rate_hz, buffer.hop, buffer.length, method, metric)

    def clear(self) -> None:
        """Clear audio and labels."""
        if self._buffer is not None:
            self._buffer.clear()
        self._labels.clear()

    def requests(self, verdict: Verdict) -> list[LabelRequest]:
        """Sources of the verdict whose label is due; marks them as asked for. Sources that are gone are forgotten."""
        self._labels = {source.id: self._labels.get(source.id, _SourceLabel()) for source in verdict.sources}
        due = [self._request_if_due(source, verdict) for source in verdict.sources]
        return [request for request in due if request is not None]

    def tag(self, request: LabelRequest) -> Tags | None:
        """The tagger's answer for the beam towards the source, None without a tagger or a beam."""
        signal = self._signal(request)
        if signal is None or self._tagger is None:
            return None
        return self._tagger.tag(signal.samples, signal.sample_rate_hz)

    def take(self, source_id: int, tags: Tags) -> None:
        """Store the answer to a request; sources that are gone by now are ignored."""
        state = self._labels.get(source_id)
        if state is None:
            return
        state.shares = dict(tags)
        if tags and tags[0][1] >= self._config.label.min_probability:
            stays = same_label(tags[0][0], state.label.text)
            state.periods = min(2 * state.periods, MAX_PERIODS) if stays else 1.0
            state.label.update(tags[0][0])

    def labelled(self, verdict: Verdict) -> Verdict:
        """The verdict with the label of each source, which sounding objects take over."""
        return _labelled(verdict, {key: state.label.text for key, state in self._labels.items()})

    def name_shares(self) -> Mapping[int, Mapping[str, float]]:
        """By source id, the share of each name that the tagger knows; empty for a source without an answer yet."""
        return {key: state.shares for key, state in self._labels.items()}

    def signal(self, source: SoundSource, verdict: Verdict, last_s: float | None = None) -> BeamSignal | None:
        """The beam towards a source of the verdict over the last seconds (all that is buffered for None)."""
        windows = self._buffer.windows(last_s) if self._buffer is not None else ()
        return self._signal(LabelRequest(source.id, source.position_m, _others(source, verdict), windows))

    def signals(self, verdict: Verdict) -> dict[int, BeamSignal]:
        """The whole buffered beam towards each source, by its id."""
        found = {source.id: self.signal(source, verdict) for source in verdict.sources}
        return {key: signal for key, signal in found.items() if signal is not None}

    def newest_signal(self, source: SoundSource, verdict: Verdict) -> BeamSignal | None:
        """The hop of the beam that the last window completed: from window to window a stream without gaps."""
        if self._buffer is None or len(windows := self._buffer.windows()[-2:]) < 2:
            return None
        signal = self._signal(LabelRequest(source.id, source.position_m, _others(source, verdict), windows))
        hop, begin = self._buffer.hop, windows[1].first_sample - windows[0].first_sample
        if signal is None:
            return None
        stamp_ns = signal.stamp_ns + round(begin / signal.sample_rate_hz * 1e9)
        return BeamSignal(stamp_ns, signal.samples[begin : begin + hop], signal.sample_rate_hz)

    def _request_if_due(self, source: SoundSource, verdict: Verdict) -> LabelRequest | None:
        state = self._labels[source.id]
        waited_ns = None if state.asked_ns is None else verdict.stamp_ns - state.asked_ns
        if waited_ns is not None and 0 <= waited_ns < state.periods * self._config.label.every_s * 1e9:
            return None
        windows = self._active_windows(source, verdict.stamp_ns)
        if not windows:
            return None
        state.asked_ns = verdict.stamp_ns
        return LabelRequest(source.id, source.position_m, _others(source, verdict), windows)

    def _active_windows(self, source: SoundSource, now_ns: int) -> tuple[BufferedWindow, ...]:
        """Buffered windows within the source's last heard intervals; () for too few of them."""
        if (
            self._buffer is None
            or not source.heard_intervals
            or source.heard_intervals[-1].end_ns < now_ns - MAX_PAUSE_S * 1e9
        ):
            return ()
        windows = self._buffer.windows(self._config.label.listen_s)
        margin_ns = round(MARGIN_S * 1e9)
        oldest_ns = windows[0].stamp_ns if windows else 0
        start_ns = min(span.start_ns for span in source.heard_intervals if span.end_ns >= oldest_ns) - margin_ns
        end_ns = source.heard_intervals[-1].end_ns + margin_ns
        windows = tuple(window for window in windows if start_ns <= window.stamp_ns <= end_ns)
        long_enough = len(windows) * self._config.sound.hop_s >= min(MIN_SOUND_S, self._config.label.listen_s)
        return windows if long_enough else ()

    def _signal(self, request: LabelRequest) -> BeamSignal | None:
        if self._beamformer is None or not request.windows:
            return None
        return self._beamformer.steer_to(request.windows, request.position_map, request.others_map)


def _others(source: SoundSource, verdict: Verdict) -> tuple[Float64Array, ...]:
    """Positions of the other sources; one within two deviations of the source cannot be separated and is left out."""
    others = (other.position_m for other in verdict.sources if other.id != source.id)
    spread_m = float(np.sqrt(np.trace(source.covariance_m2)))
    return tuple(place for place in others if np.linalg.norm(place - source.position_m) > 2 * spread_m)


def _labelled(verdict: Verdict, texts: dict[int, str]) -> Verdict:
    sources = {source.id: replace(source, label=texts.get(source.id, "")) for source in verdict.sources}
    sounding = tuple(_labelled_object(found, sources[found.source.id]) for found in verdict.sounding)
    return replace(verdict, sources=tuple(sources.values()), sounding=sounding)


def _labelled_object(found: SoundingObject, source: SoundSource) -> SoundingObject:
    return replace(found, source=source, label=f"{found.label}: {source.label}" if source.label else found.label)
