"""The labelling stage: verdicts in, verdicts with labels out; and the beam towards a source."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping

from echoseg_ros.config import Config
from echoseg_ros.errors import EchosegError
from echoseg_ros.pipeline.worker import Worker
from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.sound.labels.beamformer import BeamSignal
from echoseg_ros.sound.labels.labeller import Labeller, LabelRequest, Tags
from echoseg_ros.types import AudioWindow, SoundSource, Verdict

logger = logging.getLogger(__name__)

# Slow taggers leave the cores to the sound and the map.
NICENESS = 5


class LabellingStage:
    """Asks the tagger when a label is due. Owned by the sound's worker.

    Offline the tagger answers at once, so that a run is repeatable; live it works in a thread of its own, and a verdict
    carries the newest labels there are. Raises BackendError if the tagger of the settings is not available.
    """

    def __init__(self, config: Config, array: ArrayGeometry, live: bool = False) -> None:
        self._labeller = Labeller(config, array)
        self._answers: deque[tuple[int, Tags]] = deque()  # appended by the tagger's thread, taken by the sound's
        self._failed = False
        self._worker: Worker[LabelRequest] | None = None
        if live and self._labeller.is_on:
            capacity = config.sources.max_sources
            self._worker = Worker("label", self._answer, capacity, on_error=self._fail, niceness=NICENESS)
            self._worker.start()

    def add(self, window: AudioWindow) -> None:
        """Buffer the audio of a window."""
        self._labeller.add(window)

    def label(self, verdict: Verdict) -> Verdict:
        """The verdict with labels; requests new ones where due."""
        if not self._labeller.is_on:
            return verdict
        for request in self._labeller.requests(verdict):
            if self._worker is not None:
                self._worker.put(request)
                continue
            try:
                self._answer(request)
            except Exception as error:
                self._fail(request, error)
        while self._answers:
            self._labeller.take(*self._answers.popleft())
        return self._labeller.labelled(verdict)

    def name_shares(self) -> Mapping[int, Mapping[str, float]]:
        """By source id, the share of each name that the tagger knows."""
        return self._labeller.name_shares()

    def signals(self, verdict: Verdict) -> dict[int, BeamSignal]:
        """The whole buffered beam towards each source, by its id."""
        return self._labeller.signals(verdict)

    def newest_signal(self, source: SoundSource, verdict: Verdict) -> BeamSignal | None:
        """The hop of the beam that the last window completed."""
        return self._labeller.newest_signal(source, verdict)

    def rewind(self) -> None:
        """On a backward time jump: clear audio and labels."""
        self._labeller.clear()
        self._answers.clear()

    def stop(self) -> None:
        """End the tagger's thread."""
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def _answer(self, request: LabelRequest) -> None:
        tags = self._labeller.tag(request)
        if tags is not None:
            self._answers.append((request.source_id, tags))

    def _fail(self, request: LabelRequest | None, error: Exception) -> None:
        """A failing tagger must not end the run: labels are left out, and the cause is logged once."""
        if not self._failed:
            logger.warning("no labels: %s", error if isinstance(error, EchosegError) else repr(error))
            self._failed = True
