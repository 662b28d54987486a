"""A bag with masks of another node, through the pipeline offline: its masks make the objects, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scene_bag

from echoseg_ros.config import Config
from echoseg_ros.errors import BagError
from echoseg_ros.geometry import apply, pixel_rays
from echoseg_ros.io.bag import BagReader
from echoseg_ros.io.bag_writer import BagWriter
from echoseg_ros.io.typestore import typestore
from echoseg_ros.pipeline.map_stage import MapStage
from echoseg_ros.pipeline.replay import ReplayedRun, ReplayOptions, replay_bag
from echoseg_ros.report.run_bag import run_bag
from echoseg_ros.sound.array.array_geometry import load_array
from echoseg_ros.types import MaskImage

CONFIG = Config().updated(
    {"sound.array": "cube8", "map.image_width_px": 80, "map.steps_per_s": 2, "masks.backend": "topic"}
)
FRAMES, LATE_NS = 30, 700_000_000


def labels(t_s: float) -> np.ndarray:
    """[H, W] which box a pixel shows, by numbers that are not in a row; the image's edge cannot be judged."""
    T_map_camera = scene_bag.pose(t_s)
    rgb, depth_m = scene_bag.render(T_map_camera)
    rays = pixel_rays(scene_bag.CAMERA)
    points = apply(T_map_camera, rays * depth_m[..., None])
    image = np.zeros(depth_m.shape, np.int32)
    for number, (center, half) in zip((40, 7), scene_bag.BOXES):
        image[(np.abs(points - center) <= half + 1e-3).all(axis=-1)] = number
    image[:, :2] = -1
    return image


def write_bag(path: Path, masked: range, offset_ns: int = 0) -> Path:
    """Three seconds of the scene; masks of some frames, logged when a slow node would have sent them."""
    inner = scene_bag.write_scene_bag(path.parent / f"{path.name}-plain", seconds=FRAMES / scene_bag.RATE_HZ)
    messages = [(at_ns, name, kind, data) for name, kind, at_ns, data in BagReader(inner).raw_messages()]
    stamps_ns = {i: scene_bag.START_NS + round(i / scene_bag.RATE_HZ * 1e9) for i in masked}
    with BagWriter(path) as bag:
        for at_ns, name, kind, data in messages:
            for i in [i for i, stamp_ns in stamps_ns.items() if stamp_ns + LATE_NS <= at_ns]:
                bag.write_masks(stamps_ns[i] + offset_ns, labels(i / scene_bag.RATE_HZ), at_ns)
                del stamps_ns[i]
            bag.write(name, at_ns, typestore().deserialize_cdr(data, kind))
    return path


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bag(tmp_path_factory.mktemp("masks") / "bag", range(0, FRAMES, 2))


def replayed(bag: Path, config: Config = CONFIG) -> ReplayedRun:
    return replay_bag(BagReader(bag), config, load_array("cube8"), ReplayOptions(progress=False))


def test_the_reader_yields_masks_with_their_images_stamps(bag: Path) -> None:
    masks = [item for item in BagReader(bag).messages() if isinstance(item, MaskImage)]
    assert len(masks) == 12  # the last ones would have come after the end
    assert masks[3].stamp_ns == scene_bag.START_NS + 600_000_000
    np.testing.assert_array_equal(masks[3].labels, labels(0.6))


def test_late_masks_of_every_other_frame_make_both_objects(bag: Path) -> None:
    run = replayed(bag)
    assert run.skipped == {}
    found = run.snapshot.instances
    assert len(found) == 2
    surface, owner = run.snapshot.surface_points, run.snapshot.surface_instance
    for center, half in scene_bag.BOXES:
        nearest = min(found, key=lambda instance: np.linalg.norm(instance.position_m - center))
        assert (np.abs(nearest.points_map - center) <= half + 0.03).all(axis=1).mean() > 0.95, (
            "points of something else"
        )
        own = owner[(np.abs(surface - center) < half).all(axis=1)]
        assert set(own) <= {-1, nearest.id} and (own == nearest.id).mean() > 0.5, "most of what it shows is its own"
    counts = run.map_stage.statistics().topic_masks
    assert counts["masks received"] == 12 and counts["masks used"] >= 5
    assert counts.get("masks dropped", 0) == counts.get("masks without an image", 0) == 0
    assert counts["keyframes without masks"] >= 1, "those at the end, whose masks did not come"


def test_masks_with_other_stamps_make_nothing_and_are_said(tmp_path: Path) -> None:
    shifted = write_bag(tmp_path / "bag", range(0, FRAMES, 2), offset_ns=40_000_000)
    run = replayed(shifted, CONFIG.updated({"masks.wait_s": 0.9}))
    assert list(run.skipped) == ["masks: no image has their stamps; their node must copy the header of the image"]
    assert run.snapshot.instances == () and run.map_stage.keyframes > 3
    counts = run.map_stage.statistics().topic_masks
    assert counts.get("masks used", 0) == 0
    assert counts["keyframes without masks"] == run.map_stage.keyframes


def test_a_bag_without_masks_is_refused_in_one_line(tmp_path: Path) -> None:
    plain = scene_bag.write_scene_bag(tmp_path / "plain", seconds=0.5)
    with pytest.raises(BagError, match=r"no topic /camera/masks; it holds"):
        run_bag(plain, tmp_path / "out", CONFIG, "test", ReplayOptions(progress=False))


def test_masks_are_not_looked_at_by_other_backends() -> None:
    stage = MapStage(Config())
    assert stage.add(MaskImage(0, np.ones((6, 8), np.int32))) == []
