"""The network with its weights in simulated rooms it has not seen and in rooms of boxes, and what it does at its door."""

from dataclasses import replace

import numpy as np
import pytest

from echoseg_ros.config import MaskConfig
from echoseg_ros.errors import BackendError, ImageFormatError
from echoseg_ros.geometry import look_at
from echoseg_ros.masks.factory import make_masks
from echoseg_ros.masks.geometric.geometric_masks import GeometricMasks
from echoseg_ros.masks.network.model import GroupingNetwork
from echoseg_ros.masks.network.network_input import CHANNELS, network_input
from echoseg_ros.masks.network.network_masks import UNJUDGED, NetworkMasks, scored_labels
from echoseg_ros.masks.network.weights import WEIGHTS_FILE, load_weights, save_weights
from echoseg_ros.masks.surface import make_surface
from echoseg_ros.types import Camera, CameraFrame
from echoseg_ros.units import scaled_frame
from echoseg_sim.rooms.render import render, simulate_sensor
from echoseg_sim.rooms.room import make_room
from train_masks.degrade import map_depth

CAMERA = Camera(252, 252, 126.0, 126.0, 126.0, 126.0)


@pytest.fixture(scope="module")
def network():
    return NetworkMasks()


@pytest.fixture(scope="module")
def views():
    """(frame with depth, numbers of the objects) of three views of a room that was not trained on."""
    room = make_room(90_077)
    seen = []
    for number in (0, 3, 6):
        middle = room.objects[number].box.center_m
        away = -middle[:2] / np.linalg.norm(middle[:2])
        eye = np.append(middle[:2] + 1.6 * away, 1.35)
        T_map_camera = look_at(eye, middle)
        view = render(room, CAMERA, T_map_camera)
        rgb, depth_m = simulate_sensor(view, np.random.default_rng(number))
        seen.append((CameraFrame(number, number, CAMERA, rgb, depth_m, T_map_camera), view.object_ids))
    return seen


def best_ious(labels, ids, least_px=80):
    """IoU of each object in view, none at the image's border, with the proposal that fits best."""
    rim = np.unique(np.concatenate([ids[0], ids[-1], ids[:, 0], ids[:, -1]]))
    found = []
    for number in np.setdiff1d(np.unique(ids[ids > 0]), rim):
        true = ids == number
        if true.sum() < least_px:
            continue
        ious = [((labels == k) & true).sum() / ((labels == k) | true).sum() for k in range(1, labels.max() + 1)]
        found.append(max(ious, default=0.0))
    return found


def test_most_objects_of_an_unseen_room_are_found(network, views):
    ious = [iou for frame, ids in views for iou in best_ious(network.propose(frame).labels, ids)]
    assert len(ious) >= 8
    assert np.mean(np.array(ious) > 0.5) >= 0.7, np.round(ious, 2)


def test_walls_floor_and_ceiling_are_no_objects(network, views):
    for frame, ids in views:
        labels = network.propose(frame).labels
        assert (labels[ids == 0] > 0).mean() < 0.02


def test_a_world_of_another_scale_shows_nearly_the_same(network, views):
    for factor in (0.7, 1.4):
        ious = [
            iou for frame, ids in views for iou in best_ious(network.propose(scaled_frame(frame, factor)).labels, ids)
        ]
        assert np.mean(np.array(ious) > 0.5) >= 0.6, (factor, np.round(ious, 2))


def test_a_maps_smeared_depth_does_where_there_is_no_sensor(network, views):
    ious = []
    for frame, ids in views:
        depth_m, alpha = map_depth(np.random.default_rng(frame.index), frame.depth_m, ids)
        ious += best_ious(network.propose(replace(frame, depth_m=None), depth_m, alpha).labels, ids)
    assert np.mean(np.array(ious) > 0.5) >= 0.5, np.round(ious, 2)


def test_proposals_are_numbered_and_scored(network, views):
    frame, _ = views[0]
    proposal = network.propose(frame)
    assert proposal.labels.shape == (252, 252) and proposal.labels.dtype == np.int32
    assert proposal.labels.min() >= UNJUDGED and proposal.stamp_ns == frame.stamp_ns and proposal.backend == "network"
    assert set(np.unique(proposal.labels[proposal.labels > 0])) == set(range(1, len(proposal.scores) + 1))
    assert ((proposal.scores > 0) & (proposal.scores <= 1)).all()
    again = network.propose(frame)
    np.testing.assert_array_equal(proposal.labels, again.labels)


def test_images_of_any_size_are_taken(network, views):
    frame, ids = views[0]
    for width, height in ((640, 480), (101, 77), (504, 504)):
        rows = (np.arange(height) * 252 / height).astype(int)
        columns = (np.arange(width) * 252 / width).astype(int)
        camera = Camera(width, height, 126 * width / 252, 126 * height / 252, width / 2, height / 2)
        grid = np.ix_(rows, columns)
        large = CameraFrame(1, 1, camera, frame.rgb[grid], frame.depth_m[grid], frame.T_map_camera)
        labels = network.propose(large).labels
        assert labels.shape == (height, width)
        if min(width, height) > 252:
            assert np.mean(np.array(best_ious(labels, ids[grid], 400)) > 0.5) >= 0.5


def test_what_the_border_cuts_away_and_what_hardly_looks_like_an_object_is_not_judged():
    labels = np.zeros((100, 100), np.int32)
    labels[20:60, :4] = 1  # a sliver: 40 of 88 sides of its pixels lie at the border
    labels[65:95, :40] = 2
    labels[20:40, 50:70] = 3
    labels[60:80, 60:80] = 4
    probability = np.where(labels == 3, 0.55, 0.9).astype(np.float32)
    final, scores = scored_labels(labels, probability)
    assert (final[labels == 1] == UNJUDGED).all() and (final[labels == 3] == UNJUDGED).all()
    assert (final[labels == 2] == 1).all() and (final[labels == 4] == 2).all() and (final[labels == 0] == 0).all()
    assert scores[1] == pytest.approx(0.9) and scores[0] == pytest.approx(0.9 * (1 - 30 / 140))


def test_without_depth_nothing_is_judged(network, views):
    frame, _ = views[0]
    proposal = network.propose(replace(frame, depth_m=None))
    assert (proposal.labels == UNJUDGED).all() and len(proposal.scores) == 0


def test_depth_of_another_size_is_refused(network, views):
    frame, _ = views[0]
    with pytest.raises(ImageFormatError, match="126, 126"):
        network.propose(replace(frame, depth_m=frame.depth_m[::2, ::2]))


def test_the_factory_makes_it():
    assert isinstance(make_masks(MaskConfig(backend="network")), NetworkMasks)


def test_auto_takes_geometry_where_a_sensor_looked_and_the_network_elsewhere(network, views):
    frame, ids = views[0]
    auto = make_masks(MaskConfig(backend="auto"))
    sensed = auto.propose(frame)
    assert sensed.backend == "geometric"
    np.testing.assert_array_equal(sensed.labels, GeometricMasks().propose(frame).labels)
    blind, alpha = replace(frame, depth_m=None), np.ones(ids.shape, np.float32)
    drawn = auto.propose(blind, frame.depth_m, alpha)
    assert drawn.backend == "network"
    np.testing.assert_array_equal(drawn.labels, network.propose(blind, frame.depth_m, alpha).labels)


def test_the_input_leaves_out_turns_about_the_vertical_and_shifts(views):
    frame, _ = views[1]
    alpha = np.ones(frame.depth_m.shape, np.float32)

    def seen(T_map_camera):
        return network_input(CAMERA, frame.rgb, make_surface(CAMERA, frame.depth_m, T_map_camera), alpha, T_map_camera)

    c, s = np.cos(1.1), np.sin(1.1)
    moved = np.array([[c, -s, 0, 3.0], [s, c, 0, -2.0], [0, 0, 1, 5.0], [0, 0, 0, 1]]) @ frame.T_map_camera
    here, there = seen(frame.T_map_camera), seen(moved)
    assert here.shape == (CHANNELS, 252, 252)
    np.testing.assert_allclose(here, there, atol=2e-3)
    assert (here[3:13, frame.depth_m == 0] == 0).all()


def test_weights_come_back_and_are_small(tmp_path):
    network = load_weights()
    save_weights(tmp_path / "copy.npz", network)
    again = load_weights(tmp_path / "copy.npz")
    for name, value in network.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), again.state_dict()[name].numpy())
    assert WEIGHTS_FILE.stat().st_size < 4_000_000


def test_weights_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(BackendError, match="cannot be read"):
        load_weights(tmp_path / "none.npz")
    arrays = {name: value.numpy() for name, value in GroupingNetwork().state_dict().items()}
    arrays["stem.0.weight"] = arrays["stem.0.weight"][:4]
    np.savez(tmp_path / "other.npz", **arrays)
    with pytest.raises(BackendError, match="does not fit"):
        load_weights(tmp_path / "other.npz")
