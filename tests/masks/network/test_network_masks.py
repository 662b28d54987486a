"""The network with its weights in a simulated room that it was not trained on."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from echoseg_ros.errors import ImageFormatError
from echoseg_ros.masks.network.network_masks import NetworkMasks, scored_labels
from echoseg_ros.masks.protocol import UNJUDGED
from echoseg_ros.types import Camera, CameraFrame
from echoseg_ros.units import scaled_frame
from train_masks.degrade import map_depth

# A frame and the true object ids of its pixels.
View = tuple[CameraFrame, NDArray[np.int32]]


def best_ious(labels: NDArray[np.int32], ids: NDArray[np.int32], min_px: int = 80) -> list[float]:
    """IoU of each object in view, except at the image's border, with the proposal that fits best."""
    rim = np.unique(np.concatenate([ids[0], ids[-1], ids[:, 0], ids[:, -1]]))
    found = []
    for number in np.setdiff1d(np.unique(ids[ids > 0]), rim):
        true = ids == number
        if true.sum() < min_px:
            continue
        ious = [((labels == k) & true).sum() / ((labels == k) | true).sum() for k in range(1, labels.max() + 1)]
        found.append(max(ious, default=0.0))
    return found


def test_most_objects_of_an_unseen_room_are_found(network: NetworkMasks, room_views: list[View]) -> None:
    ious = [iou for frame, ids in room_views for iou in best_ious(network.propose(frame).labels, ids)]
    assert len(ious) >= 8
    assert np.mean(np.array(ious) > 0.5) >= 0.7, np.round(ious, 2)


def test_walls_floor_and_ceiling_are_no_objects(network: NetworkMasks, room_views: list[View]) -> None:
    for frame, ids in room_views:
        labels = network.propose(frame).labels
        assert (labels[ids == 0] > 0).mean() < 0.02


def test_a_room_of_another_scale_gives_nearly_the_same(network: NetworkMasks, room_views: list[View]) -> None:
    for factor in (0.7, 1.4):
        ious = [
            iou
            for frame, ids in room_views
            for iou in best_ious(network.propose(scaled_frame(frame, factor)).labels, ids)
        ]
        assert np.mean(np.array(ious) > 0.5) >= 0.6, (factor, np.round(ious, 2))


def test_the_blurred_depth_of_a_map_is_enough_without_a_sensor(network: NetworkMasks, room_views: list[View]) -> None:
    ious = []
    for frame, ids in room_views:
        assert frame.depth_m is not None
        depth_m, alpha = map_depth(np.random.default_rng(frame.index), frame.depth_m, ids)
        ious += best_ious(network.propose(replace(frame, depth_m=None), depth_m, alpha).labels, ids)
    assert np.mean(np.array(ious) > 0.5) >= 0.5, np.round(ious, 2)


def test_proposals_are_numbered_and_scored(network: NetworkMasks, room_views: list[View]) -> None:
    frame, _ = room_views[0]
    proposal = network.propose(frame)
    assert proposal.labels.shape == (252, 252) and proposal.labels.dtype == np.int32
    assert proposal.labels.min() >= UNJUDGED and proposal.stamp_ns == frame.stamp_ns and proposal.backend == "network"
    assert set(np.unique(proposal.labels[proposal.labels > 0])) == set(range(1, len(proposal.scores) + 1))
    assert ((proposal.scores > 0) & (proposal.scores <= 1)).all()
    again = network.propose(frame)
    np.testing.assert_array_equal(proposal.labels, again.labels)


def test_images_may_have_any_size(network: NetworkMasks, room_views: list[View]) -> None:
    frame, ids = room_views[0]
    for width, height in ((640, 480), (101, 77), (504, 504)):
        rows = (np.arange(height) * 252 / height).astype(int)
        columns = (np.arange(width) * 252 / width).astype(int)
        camera = Camera(width, height, 126 * width / 252, 126 * height / 252, width / 2, height / 2)
        grid = np.ix_(rows, columns)
        assert frame.depth_m is not None
        large = CameraFrame(1, 1, camera, frame.rgb[grid], frame.depth_m[grid], frame.T_map_camera)
        labels = network.propose(large).labels
        assert labels.shape == (height, width)
        if min(width, height) > 252:
            assert np.mean(np.array(best_ious(labels, ids[grid], 400)) > 0.5) >= 0.5


def test_objects_cut_by_the_border_and_improbable_objects_are_unjudged() -> None:
    labels = np.zeros((100, 100), np.int32)
    labels[20:60, :4] = 1  # a sliver: 40 of the 88 pixel edges of its outline lie at the border
    labels[65:95, :40] = 2
    labels[20:40, 50:70] = 3
    labels[60:80, 60:80] = 4
    probability = np.where(labels == 3, 0.55, 0.9).astype(np.float32)
    final, scores = scored_labels(labels, probability)
    assert (final[labels == 1] == UNJUDGED).all() and (final[labels == 3] == UNJUDGED).all()
    assert (final[labels == 2] == 1).all() and (final[labels == 4] == 2).all() and (final[labels == 0] == 0).all()
    assert scores[1] == pytest.approx(0.9) and scores[0] == pytest.approx(0.9 * (1 - 30 / 140))


def test_without_depth_all_pixels_are_unjudged(network: NetworkMasks, room_views: list[View]) -> None:
    frame, _ = room_views[0]
    proposal = network.propose(replace(frame, depth_m=None))
    assert (proposal.labels == UNJUDGED).all() and len(proposal.scores) == 0


def test_depth_of_another_size_is_refused(network: NetworkMasks, room_views: list[View]) -> None:
    frame, _ = room_views[0]
    assert frame.depth_m is not None
    with pytest.raises(ImageFormatError, match="126, 126"):
        network.propose(replace(frame, depth_m=frame.depth_m[::2, ::2]))
