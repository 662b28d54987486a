"""Instances of a real recording against hand-checked boxes.

Points at the measured depth replace the Gaussian map: the test examines masks and association alone and takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from echoseg_ros.geometry import apply, backproject, box_iou, inverse, project
from echoseg_ros.io.rgbd_folder import RgbdFolder
from echoseg_ros.mapping.keyframes import reduced
from echoseg_ros.masks.geometric.geometric_masks import GeometricMasks
from echoseg_ros.objects.instances import InstanceMap
from echoseg_ros.types import CameraFrame, Float32Array, Instance

# Side of a cell, metres.
CELL_M = 0.015


class PointMap:
    """One point for each cell; a point has weight in its pixel if the depth agrees."""

    def __init__(self) -> None:
        self.means, self.rgb = np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8)
        self._cells = np.zeros(0, np.int64)

    def insert(self, frame: CameraFrame) -> None:
        assert frame.depth_m is not None
        known = frame.depth_m > 0
        points = apply(frame.T_map_camera, backproject(frame.camera, frame.depth_m))[known]
        cells = (np.floor(points / CELL_M).astype(np.int64) + 2000) @ np.array([4000**2, 4000, 1])
        cells, first = np.unique(cells, return_index=True)
        new = ~np.isin(cells, self._cells)
        self._cells = np.concatenate([self._cells, cells[new]])
        self.means = np.concatenate([self.means, points[first[new]].astype(np.float32)])
        self.rgb = np.concatenate([self.rgb, frame.rgb[known][first[new]]])

    def lift(self, frame: CameraFrame, labels: NDArray[np.int32], classes: int) -> Float32Array:
        assert frame.depth_m is not None
        pixels, depth_m = project(frame.camera, apply(inverse(frame.T_map_camera), self.means.astype(float)))
        column, row = np.floor(pixels).astype(int).T
        visible = (depth_m > 0.2) & (column >= 0) & (row >= 0)
        visible &= (column < frame.camera.width) & (row < frame.camera.height)
        visible[visible] = (
            np.abs(frame.depth_m[row[visible], column[visible]] - depth_m[visible])
            < 0.02 + 0.01 * depth_m[visible] ** 2
        )
        index = np.flatnonzero(visible)
        label = labels[row[index], column[index]]
        weights = np.zeros((len(self.means), classes), np.float32)
        judged = label >= 0
        weights[index[judged], label[judged]] = 0.7 * (frame.camera.fx * CELL_M / depth_m[index[judged]]) ** 2
        return weights


def instances_of(folder: RgbdFolder, frames: Iterable[int]) -> tuple[Instance, ...]:
    points, masks, instances = PointMap(), GeometricMasks(), InstanceMap()
    for i in frames:
        frame = reduced(folder.frame(i), 320)
        points.insert(frame)
        proposal = masks.propose(frame)
        uids = np.arange(len(points.means))
        instances.update(uids, points.lift(frame, proposal.labels, len(proposal.scores) + 1), proposal)
    instances.refresh(uids, points.means, points.rgb)
    return instances.instances


@pytest.mark.parametrize("frames", [range(100, 200, 5), range(55, 155, 5)])
def test_the_four_objects_are_instances(test_data: Path, frames: range) -> None:
    folder = RgbdFolder(test_data / "real_kitchen")
    found = instances_of(folder, frames)
    best = {name: max(box_iou(i.box, box) for i in found) for name, box in folder.objects.items()}
    assert min(best.values()) > 0.4, best
    chosen = [int(np.argmax([box_iou(i.box, box) for i in found])) for box in folder.objects.values()]
    assert len(set(chosen)) == 4


def test_no_instance_is_a_table_or_a_wall(test_data: Path) -> None:
    found = instances_of(RgbdFolder(test_data / "real_kitchen"), range(100, 200, 10))
    assert max(max(i.box.size_m) for i in found) < 1.1
    assert all(sorted(i.box.size_m)[1] < 0.9 for i in found)
