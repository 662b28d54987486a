"""Fixtures for mask backends: folders of tiny models of the real classes, a small frame, and views of a simulated room."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tiny_models
from numpy.typing import NDArray

from echoseg_ros.geometry import look_at
from echoseg_ros.masks.network.network_masks import NetworkMasks
from echoseg_ros.types import Camera, CameraFrame

# Seed of a room that the network was not trained on.
UNSEEN_ROOM = 90_077
# Camera of the views of the room.
ROOM_CAMERA = Camera(252, 252, 126.0, 126.0, 126.0, 126.0)


@pytest.fixture(scope="session")
def models() -> ModuleType:
    """The package transformers; tests that need it are skipped without it."""
    package: ModuleType = pytest.importorskip(
        "transformers", reason="needs transformers: pip install 'echoseg_ros[models]'"
    )
    return package


@pytest.fixture(scope="session")
def folders(models: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of each model by name."""
    root = tmp_path_factory.mktemp("models")
    makers = {
        "sam2": tiny_models.save_sam2,
        "sam2_video": tiny_models.save_sam2_video,
        "owlv2": tiny_models.save_owlv2,
        "grounding_dino": tiny_models.save_grounding_dino,
        "rf_detr": tiny_models.save_rf_detr,
    }
    for name, save in makers.items():
        (root / name).mkdir()
        save(models, root / name)
    return {name: root / name for name in makers}


@pytest.fixture
def frame() -> CameraFrame:
    """A frame with an image of 80 x 48 pixels for the map's camera of 40 x 24."""
    return CameraFrame(7_000, 0, Camera(40, 24, 30.0, 30.0, 20.0, 12.0), tiny_models.picture(), None, np.eye(4))


@pytest.fixture(scope="session")
def network() -> NetworkMasks:
    """The network with the weights of the package."""
    return NetworkMasks()


@pytest.fixture(scope="session")
def room_views() -> list[tuple[CameraFrame, NDArray[np.int32]]]:
    """(frame with depth, true object ids [H, W]) of three views of a room that the network was not trained on."""
    from echoseg_sim.rooms.render import render, simulate_sensor
    from echoseg_sim.rooms.room import make_room

    room = make_room(UNSEEN_ROOM)
    views = []
    for number in (0, 3, 6):
        middle = room.objects[number].box.center_m
        away = -middle[:2] / np.linalg.norm(middle[:2])
        eye = np.append(middle[:2] + 1.6 * away, 1.35)
        T_map_camera = look_at(eye, middle)
        view = render(room, ROOM_CAMERA, T_map_camera)
        rgb, depth_m = simulate_sensor(view, np.random.default_rng(number))
        views.append((CameraFrame(number, number, ROOM_CAMERA, rgb, depth_m, T_map_camera), view.object_ids))
    return views
