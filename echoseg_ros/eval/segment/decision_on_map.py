"""Decisions on a finished map with other instances or other sounds than those of its run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from echoseg_ros.config import Config
from echoseg_ros.io.dataset import DatasetScene
from echoseg_ros.io.dataset_map_frame import scene_T_map_world
from echoseg_ros.pipeline.dataset_bag import dataset_array, sound_messages
from echoseg_ros.pipeline.decision_stage import DecisionStage
from echoseg_ros.pipeline.pipeline import SoundBranch
from echoseg_ros.pipeline.sound_stage import SoundItem
from echoseg_ros.types import AudioFormat, MapSnapshot, SoundEvidence, Verdict


def scene_evidence(scene: DatasetScene, config: Config) -> list[SoundEvidence]:
    """Evidence of all train seconds of a scene. config: of the scene's run. `DatasetScene.with_sound` exchanges sounds."""
    branch = SoundBranch(config.updated({"label.tagger": "off"}), dataset_array())
    evidence: list[SoundEvidence] = []
    for item in _messages(scene):
        array = branch.sound_stage.array if branch.sound_stage else None
        evidence += [heard.evidence for heard in branch.hear(item, None)]
        if branch.sound_stage and branch.sound_stage.array is not array:
            evidence.clear()  # earlier evidence is of a head with a wrong radius
    return evidence


def decide_on_map(evidence: Iterable[SoundEvidence], snapshot: MapSnapshot, config: Config) -> Verdict | None:
    """Verdict on the finished map, in the map's units; None without evidence or on a map without a scale."""
    stage = DecisionStage(config)
    for window in evidence:
        stage.remember(window, snapshot)
    return stage.conclude(snapshot)


def _messages(scene: DatasetScene) -> Iterator[SoundItem]:
    T_map_world = scene_T_map_world(scene)
    yield AudioFormat(scene.sample_rate_hz, 2, "S16LE", "WAVE")
    for frame in scene.train:
        yield from sound_messages(scene, frame, T_map_world)
