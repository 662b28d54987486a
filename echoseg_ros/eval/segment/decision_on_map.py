"""What is heard over a scene's train seconds, judged on a finished map: for other instances, or other sounds, than a run's."""

from __future__ import annotations

from collections.abc import Iterator

from echoseg_ros.config import Config
from echoseg_ros.io.dataset import DatasetScene
from echoseg_ros.io.dataset_map_frame import scene_T_map_world
from echoseg_ros.objects.instance_choice import InstanceChooser
from echoseg_ros.pipeline.dataset_bag import dataset_array, sound_messages
from echoseg_ros.pipeline.sound_stage import SoundItem, SoundStage
from echoseg_ros.sound.localisation.source_estimator import SourceEstimator
from echoseg_ros.types import AudioFormat, MapSnapshot, SoundEvidence, Verdict
from echoseg_ros.units import scaled_evidence, scaled_snapshot, scaled_verdict


def heard_in(scene: DatasetScene, config: Config) -> list[SoundEvidence]:
    """The evidence of all train seconds of a scene; `with_sound` gives it other ones. config: of the scene's run."""
    side = SoundStage(config, dataset_array())
    evidence: list[SoundEvidence] = []
    for item in _messages(scene):
        array = side.array
        new = side.add(item)
        if side.array is not array:  # what was heard with a head of the wrong size
            evidence.clear()
        evidence += new
    return evidence


def judged(evidence: list[SoundEvidence], snapshot: MapSnapshot, config: Config) -> Verdict | None:
    """What sounds on the finished map, in the map's units; None if nothing was heard or seen at all."""
    metres = snapshot.metres_per_unit
    if metres is None or not evidence:
        return None
    tracker = SourceEstimator(config.sources)
    for window in evidence:
        tracker.add(scaled_evidence(window, metres, has_metres=False))
    last = evidence[-1]
    end_ns = last.stamp_ns + int(last.duration_s * 5e8)
    verdict = InstanceChooser(config.choice).decide(tracker, scaled_snapshot(snapshot, metres), last.stamp_ns, end_ns)
    return scaled_verdict(verdict, 1 / metres)


def _messages(scene: DatasetScene) -> Iterator[SoundItem]:
    T_map_world = scene_T_map_world(scene)
    yield AudioFormat(scene.sample_rate_hz, 2, "S16LE", "WAVE")
    for frame in scene.train:
        yield from sound_messages(scene, frame, T_map_world)
