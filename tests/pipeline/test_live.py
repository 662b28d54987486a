"""The live pipeline: what it drops, rewinds, resets and loads, and what it tells its listener."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scene_bag

from echoseg_ros.config import Config
from echoseg_ros.errors import EchosegError, PoseError
from echoseg_ros.io.bag import BagReader, Problem
from echoseg_ros.pipeline.live import MAP, MAP_QUEUE, SOUND, SOUND_QUEUE, LiveListener, LivePipeline
from echoseg_ros.pipeline.pipeline import PipelineItem
from echoseg_ros.sound.array.array_geometry import load_array
from echoseg_ros.types import AudioChunk, AudioFormat, DepthData, ImageData, MaskImage, PoseData, SoundEvidence, Verdict

CONFIG = Config().updated({"map.image_width_px": 80, "map.steps_per_s": 2, "map.spare_share": 0.0})
RGB = np.zeros((6, 8, 3), np.uint8)


class Collector(LiveListener):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.evidence: list[SoundEvidence] = []
        self.verdicts: list[Verdict] = []
        self.empty_verdicts: list[Verdict] = []
        self.failures: list[tuple[str, object, Exception]] = []
        self.problems: list[tuple[str, str]] = []

    def evidence_made(self, evidence: SoundEvidence) -> None:
        self.evidence.append(evidence)

    def verdict_made(self, verdict: Verdict, snapshot: object, labelling: object) -> None:
        self.verdicts.append(verdict)

    def cleared(self, verdict: Verdict) -> None:
        self.empty_verdicts.append(verdict)

    def problem_found(self, worker: str, text: str) -> None:
        self.problems.append((worker, text))

    def failed(self, worker: str, item: object, error: Exception) -> None:
        self.failures.append((worker, item, error))


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[PipelineItem]:
    """Five seconds of the scene with the humming box."""
    bag = scene_bag.write_scene_bag(tmp_path_factory.mktemp("scene") / "bag", seconds=5.0)
    return [item for item in BagReader(bag).messages() if not isinstance(item, Problem)]


def drain(live: LivePipeline) -> None:
    for worker in live.workers.values():
        assert worker.drain(60.0)


def replayed(items: list[PipelineItem], collector: Collector) -> LivePipeline:
    """A started pipeline that has handled all items."""
    live = LivePipeline(CONFIG, collector, load_array("cube8"), "cpu")
    live.start()
    for item in items:
        live.put(item)
        drain(live)
    return live


def test_what_the_queues_drop_is_counted_by_kind() -> None:
    """Not started, so that nothing leaves the queues: poses and formats always stay."""
    live = LivePipeline(CONFIG, LiveListener(), load_array("cube8"), "cpu")
    live.put(AudioFormat(16000, 8, "S16LE", "WAVE"))
    for k in range(MAP_QUEUE):
        live.put(ImageData(k, RGB))
        live.put(PoseData(k, np.eye(4)))
    live.put(DepthData(1, np.zeros((6, 8), np.float32)))
    live.put(MaskImage(2, np.zeros((6, 8), np.int32)))
    for k in range(SOUND_QUEUE + 3):
        live.put(AudioChunk(k, np.zeros((1600, 8), np.float32)))
    assert live.dropped == {"images": 2, "audio": 3}
    assert live.dropped_audio_s == pytest.approx(0.3)
    assert live.workers[MAP].waiting == MAP_QUEUE and live.workers[SOUND].waiting == SOUND_QUEUE


def test_reset_empties_map_and_evidence_and_the_object_is_found_again(items: list[PipelineItem]) -> None:
    collector = Collector()
    live = replayed(items, collector)
    assert live.verdict.get().sounding and live.snapshot.get().instances
    assert live.call_sound(lambda sound, _: sound.labelling_stage and sound.labelling_stage.name_shares())
    live.reset()
    assert live.snapshot.get().gaussians == 0 and live.snapshot.get().instances == ()
    assert live.verdict.get().sources == () and collector.empty_verdicts == [live.verdict.get()]
    assert live.map_statistics.get().keyframes == 0
    assert live.call_sound(lambda _, timeline: len(timeline.entries)) == 0
    assert live.call_sound(lambda sound, _: sound.labelling_stage and sound.labelling_stage.name_shares()) == {}
    live.rewind()
    for item in items:
        live.put(item)
        drain(live)
    live.stop()
    assert live.verdict.get().sounding
    assert collector.failures == []


def test_a_saved_map_is_loaded_and_its_instances_are_found_anew(items: list[PipelineItem], tmp_path: Path) -> None:
    live = replayed(items, Collector())
    path = tmp_path / "map.ply"
    live.call_map(lambda stage: stage.mapper.copy()).write(path, None, None)
    gaussians = live.snapshot.get().gaussians
    live.reset()
    live.load_map(path)
    live.stop()
    assert live.snapshot.get().gaussians == gaussians > 100
    assert live.snapshot.get().instances == ()


def test_evidence_of_a_wrong_head_radius_is_forgotten(
    monkeypatch: pytest.MonkeyPatch, items: list[PipelineItem]
) -> None:
    """At real time it was kept: only the offline run and the node forgot it."""
    from echoseg_ros.pipeline.sound_stage import SoundStage

    collector = Collector()
    live = LivePipeline(CONFIG, collector, load_array("cube8"), "cpu")
    live.start()
    add = SoundStage.add
    changed = threading.Event()

    def add_and_change(stage: SoundStage, item: PipelineItem) -> object:
        found = add(stage, item)  # type: ignore[arg-type]
        if len(collector.evidence) > 8 and found and not changed.is_set():
            stage.array = load_array("cube8")  # self-calibration found another head
            changed.set()
        return found

    monkeypatch.setattr(SoundStage, "add", add_and_change)
    remembered: list[int] = []
    for item in items:
        live.put(item)
        drain(live)
        remembered.append(live.call_sound(lambda sound, _: len(sound.decision_stage.estimator.memory.slots())))
    live.stop()
    assert changed.is_set()
    drops = [k for k, (before, after) in enumerate(zip(remembered, remembered[1:])) if after < before]
    assert len(drops) == 1 and remembered[drops[0] + 1] == 0


def test_errors_name_the_item_and_the_workers_continue(items: list[PipelineItem]) -> None:
    collector = Collector()
    live = LivePipeline(CONFIG, collector, load_array("cube8"), "cpu")
    live.start()
    bad = PoseData(1, np.full((4, 4), np.nan))
    live.put(bad)
    for item in items[:40]:
        live.put(item)
    drain(live)
    live.stop()
    assert {(worker, item is bad, type(error)) for worker, item, error in collector.failures} == {
        (MAP, True, PoseError),
        (SOUND, True, PoseError),
    }
    assert live.map_statistics.get().frames["received"] > 0


@pytest.mark.parametrize("action", [LivePipeline.reset, LivePipeline.conclude])
def test_a_pipeline_without_a_map_makes_evidence_only(
    action: Callable[[LivePipeline], None], items: list[PipelineItem]
) -> None:
    collector = Collector()
    live = LivePipeline(CONFIG, collector, load_array("cube8"), device=None)
    live.start()
    for item in items:
        live.put(item)
    assert live.workers[SOUND].drain(60.0)
    live.stop()
    assert collector.evidence and not collector.verdicts
    with pytest.raises(EchosegError, match="no map"):
        action(live)


def test_an_array_that_becomes_known_later_is_heard_from_then_on(items: list[PipelineItem]) -> None:
    collector = Collector()
    live = LivePipeline(CONFIG, collector, None, device=None)
    live.start()
    for k, item in enumerate(items):
        if k == len(items) // 2:
            assert collector.evidence == []
            live.use_array(load_array("cube8"))
            live.put(AudioFormat(16000, 8, "S16LE", "WAVE"))
        live.put(item)
        drain(live)
    live.stop()
    assert collector.evidence and live.sound_statistics.get().audio_format is not None
