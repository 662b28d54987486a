"""The compared methods, all on one run's map: ours, ours on the reference's 2D masks, the reference and its parts."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.errors import ConfigError
from echoseg_ros.eval.baselines.echosegnet.aisrm import AisrmVariant
from echoseg_ros.eval.baselines.echosegnet.method import EchoSegnet, ReferenceMask, TrainViews
from echoseg_ros.eval.segment.decision_on_map import decide_on_map, scene_evidence
from echoseg_ros.eval.segment.front_end import FrontEnd
from echoseg_ros.eval.segment.front_end_instances import front_end_snapshot
from echoseg_ros.eval.segment.scene_run import SceneRun
from echoseg_ros.eval.segment.scene_views import EvalScene, View
from echoseg_ros.objects.object_mask import object_mask

# Our method, as in a run.
OURS = "echoseg"
# Our method on the reference's 2D masks.
OURS_ON_FRONT_END = "echoseg-front-end"
# The reference's 2D masks alone.
FRONT_END = "owod-bind"
# The reference without the choice of a cluster by sound.
NO_AISRM = "echosegnet-no-aisrm"
# The reference as published, and in interpretations that favour it; the best one counts.
AISRM_VARIANTS = {
    "echosegnet": AisrmVariant(),
    "echosegnet-eps": AisrmVariant(scaled_eps=True),
    "echosegnet-heading": AisrmVariant(forward_heading=True),
    "echosegnet-eps-heading": AisrmVariant(scaled_eps=True, forward_heading=True),
}
METHODS = (OURS, OURS_ON_FRONT_END, *AISRM_VARIANTS, NO_AISRM, FRONT_END)
# Methods that need a simulated scene: its object numbers replace the reference's detector.
NEED_OBJECT_IDS = tuple(method for method in METHODS if method != OURS)


@dataclass(frozen=True, eq=False)
class SegmentationResult:
    """Result of a method. mask: gives [H, W] in a view; objects: [N] rows of the run's map of each object, None without 3D."""

    mask: Callable[[View], NDArray[np.bool_]]
    objects: tuple[NDArray[np.bool_], ...] | None

    @property
    def chosen(self) -> NDArray[np.bool_] | None:
        """[N] rows of all objects together; None without 3D or without objects."""
        return np.logical_or.reduce(self.objects) if self.objects else None


class SceneSegmenter:
    """All methods on one scene; intermediate results that methods share are computed once."""

    def __init__(self, scene: EvalScene, run: SceneRun, front_end: FrontEnd) -> None:
        self._scene, self._run, self._front_end = scene, run, front_end
        self._reference: EchoSegnet | None = None
        self._train_masks: list[NDArray[np.bool_]] | None = None

    def segment(self, method: str) -> SegmentationResult:
        """Result of a method. Raises ConfigError for an unknown method, or one that needs truth which the scene lacks."""
        if method not in METHODS:
            raise ConfigError(f"method {method!r}: want one of {', '.join(METHODS)}, or all")
        if method in NEED_OBJECT_IDS and not self._scene.has_ids:
            raise ConfigError(f"{self._scene.path}: {method} needs truth.json and object_ids/ to simulate its 2D masks")
        if method == OURS:
            ids = self._run.folder.instance_id
            return self._result_of_rows([ids == sounding for sounding in self._run.folder.sounding_ids])
        if method == OURS_ON_FRONT_END:
            return self._ours_on_front_end()
        if method == FRONT_END:
            return SegmentationResult(lambda view: self._front_end.union(self._scene, view), None)
        return self._reference_method(AISRM_VARIANTS.get(method))

    def with_front_end(self, front_end: FrontEnd) -> SceneSegmenter:
        """The same scene with other 2D masks; results that do not depend on the masks are shared."""
        self._echosegnet()
        other = copy.copy(self)
        other._front_end, other._train_masks = front_end, None
        return other

    def train_masks(self) -> list[NDArray[np.bool_]]:
        """[H, W] 2D mask of each train view, in order."""
        if self._train_masks is None:
            self._train_masks = [self._front_end.union(self._scene, view) for view in self._scene.train]
        return self._train_masks

    def _result_of_rows(self, objects: list[NDArray[np.bool_]]) -> SegmentationResult:
        mapper = self._run.folder.mapper
        uids = mapper.gaussians.uids.cpu().numpy()
        chosen = uids[np.logical_or.reduce([np.zeros(len(uids), bool), *objects])]
        return SegmentationResult(
            lambda view: object_mask(mapper, chosen, view.camera, view.T_map_camera), tuple(objects)
        )

    def _ours_on_front_end(self) -> SegmentationResult:
        run = self._run
        snapshot = front_end_snapshot(self._scene, run, self.train_masks())
        verdict = decide_on_map(scene_evidence(self._scene.data, run.folder.config), snapshot, run.folder.config)
        count = len(run.folder.instance_id)
        sounding = verdict.sounding if verdict is not None else ()
        return self._result_of_rows([row_mask(found.instance.uids, count) for found in sounding])

    def _reference_method(self, aisrm: AisrmVariant | None) -> SegmentationResult:
        found: ReferenceMask = self._echosegnet().segment(self.train_masks(), aisrm)
        rasterizer = self._run.folder.mapper.rasterizer
        return SegmentationResult(lambda view: found.mask(rasterizer, view.camera, view.T_map_camera), (found.chosen,))

    def _echosegnet(self) -> EchoSegnet:
        if self._reference is None:
            train = self._scene.train
            views = TrainViews(
                [view.camera for view in train],
                [view.T_map_camera for view in train],
                [self._scene.data.binaural(view.frame) for view in train],
            )
            self._reference = EchoSegnet(self._run.folder.mapper.gaussians, views, self._scene.T_map_world)
        return self._reference


def row_mask(rows: NDArray[np.integer], count: int) -> NDArray[np.bool_]:
    """[count] True at the rows."""
    mask = np.zeros(count, bool)
    mask[rows] = True
    return mask
