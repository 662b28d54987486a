"""A simulated scene of the data set: its files agree with each other and with its truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from planned_scenes import planned_scene
from scipy.io import wavfile

from echoseg_ros.errors import ConfigError, DatasetError
from echoseg_ros.geometry import apply, box_corners, inverse, project
from echoseg_ros.io.colmap import read_model
from echoseg_ros.io.dataset import BINAURAL, MASKS, MODEL, MONO, TRUTH_FILE, DatasetFrame, DatasetScene, find_scenes
from echoseg_ros.io.dataset_map_frame import level_transform
from echoseg_ros.io.dataset_split import frame_number
from echoseg_ros.types import Box, Float64Array
from echoseg_sim.recordings import dataset
from echoseg_sim.recordings.benchmark import SceneSpec, benchmark_scenes
from echoseg_sim.recordings.dataset import simulate_dataset, simulate_scene
from echoseg_sim.recordings.scene_writer import CASES_FOLDER, OBJECT_IDS, mono_seconds
from echoseg_sim.rooms.home_rooms import PAIR_M

FRAMES, SIZE, CASES = 16, 96, 4
SPEC = benchmark_scenes(4, seed=1)[3]  # a kitchen with several coffee makers
ARGUMENTS: dict[str, Any] = {"spec": SPEC, "size_px": SIZE, "frames": FRAMES, "cases": CASES, "progress": False}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("root") / SPEC.folder
    assert simulate_scene(path, **ARGUMENTS)
    return path


@pytest.fixture(scope="module")
def scene(folder: Path) -> DatasetScene:
    return DatasetScene(folder, require=(MASKS, MONO))


@pytest.fixture(scope="module")
def truth(scene: DatasetScene) -> dict[str, Any]:
    truth = scene.truth()
    assert truth is not None
    return truth


def box_of(truth: dict[str, Any], name: str) -> Box:
    entry = truth["objects"][name]
    return Box(*(np.array(entry[key]) for key in ("center_m", "size_m", "quaternion_xyzw")))


def in_camera(frame: DatasetFrame, points_world: Float64Array) -> Float64Array:
    return apply(inverse(frame.T_world_camera), points_world)


def test_one_object_of_the_pair_a_metre_apart_sounds() -> None:
    planned = planned_scene(3)
    assert planned.spec.home.pair
    pair = [item for item in planned.room.objects if item.kind == planned.spec.home.kind][:2]
    distance_m = np.linalg.norm(pair[0].box.center_m - pair[1].box.center_m)
    assert PAIR_M[0] - 0.01 <= distance_m <= PAIR_M[1] + 0.01
    assert planned.sounding in pair


def test_the_reader_reads_it(folder: Path, scene: DatasetScene) -> None:
    assert folder.parts[-4:] == ("part_2", "flat_2", "kitchen", "1")
    assert find_scenes(folder.parents[3]) == [folder]
    assert [frame.number for frame in scene.frames] == list(range(FRAMES))
    assert [frame.number for frame in scene.test] == [0, 8]
    assert scene.instances == "multi" and scene.unregistered == ()
    rgb, camera = scene.picture(scene.frames[3])
    assert rgb.shape == (SIZE, SIZE, 3) and camera.fx == SIZE / 2
    assert scene.mask(scene.frames[3]).shape == (SIZE, SIZE)


def test_several_objects_of_the_kind_and_one_of_them_sounds(truth: dict[str, Any]) -> None:
    sounding = truth["sources"][0]["object"]
    kind = truth["objects"][sounding]["kind"]
    assert len(truth["sources"]) == 1
    assert kind == SPEC.home.kind == "coffee_maker"
    assert sum(entry["kind"] == kind for entry in truth["objects"].values()) == SPEC.home.count >= 2
    assert len({entry["kind"] for entry in truth["objects"].values()}) >= 7  # silent ones of other kinds


def test_masks_show_the_sounding_object_where_the_truth_has_it(scene: DatasetScene, truth: dict[str, Any]) -> None:
    corners = box_corners(box_of(truth, truth["sources"][0]["object"]))
    visible = 0
    for frame in scene.frames:
        mask = scene.mask(frame)
        pixels, depth = project(frame.camera, in_camera(frame, corners))
        if not mask.any() or depth.min() < 0.05:
            continue
        rows, columns = np.nonzero(mask)
        positions = np.stack([columns, rows], axis=1) + 0.5
        assert (positions > pixels.min(axis=0) - 1).all() and (positions < pixels.max(axis=0) + 1).all()
        visible += 1
    assert visible >= 3


def test_object_ids_number_the_objects_in_their_order(folder: Path, scene: DatasetScene, truth: dict[str, Any]) -> None:
    names = list(truth["objects"])
    sounding = 1 + names.index(truth["sources"][0]["object"])
    seen = set()
    for frame in scene.frames:
        ids = cv2.imread(str(folder / OBJECT_IDS / frame.name), cv2.IMREAD_UNCHANGED)
        assert ids is not None and ids.shape == (SIZE, SIZE) and ids.dtype == np.uint8
        np.testing.assert_array_equal(ids == sounding, scene.mask(frame))
        for number in set(np.unique(ids).tolist()) - {0}:
            pixels, depth = project(frame.camera, in_camera(frame, box_corners(box_of(truth, names[number - 1]))))
            if depth.min() < 0.05:
                continue
            rows, columns = np.nonzero(ids == number)
            positions = np.stack([columns, rows], axis=1) + 0.5
            assert (positions > pixels.min(axis=0) - 1).all() and (positions < pixels.max(axis=0) + 1).all()
            seen.add(number)
    assert len(seen) >= 5


def test_cases_are_other_sounds_of_the_same_scene(folder: Path, scene: DatasetScene, truth: dict[str, Any]) -> None:
    """The first case has an object of the sounding object's kind; broadband sounds are mostly louder on the source's side.

    Not always: the direct sound is the smaller part of the sound in a room, and of a tone it may cancel out.
    """
    kinds = [truth["objects"][truth["sources"][0]["object"]]["kind"]]
    right_side = []
    for number in range(CASES):
        case = folder / CASES_FOLDER / str(number)
        (source,) = json.loads((case / TRUTH_FILE).read_text())["sources"]
        assert set(source) == set(truth["sources"][0])
        np.testing.assert_allclose(source["position_m"], truth["objects"][source["object"]]["center_m"], atol=1e-9)
        kinds.append(truth["objects"][source["object"]]["kind"])
        assert (source["object"], source["sound"]) != (truth["sources"][0]["object"], truth["sources"][0]["sound"])
        clips = {frame_number(file.name): file for file in (case / BINAURAL).iterdir()}
        assert set(clips) == set(range(FRAMES))
        for frame in scene.frames:
            rate_hz, clip = wavfile.read(clips[frame.number])
            assert rate_hz == 44_100 and clip.shape == (44_100, 2)
            own = scene.binaural(frame)
            assert own is not None and np.abs(clip / 32768 - own).max() > 1e-3
            x, y, z = in_camera(frame, np.array(source["position_m"]))
            if frame.number + 1 <= source["on_s"][0][0] or abs(x) < 0.5 * np.linalg.norm([x, y, z]):
                continue
            left, right = np.sqrt((clip[4410:-4410].astype(float) ** 2).mean(axis=0))
            if not source["blocked"] and source["sound"].removeprefix("builtin:") in ("noise", "pink", "chirp"):
                right_side.append((left > right) == (x < 0))
    assert kinds[1] == kinds[0]
    assert len(right_side) >= 8 and np.mean(right_side) >= 0.8
    assert not (folder / CASES_FOLDER / str(CASES)).exists()


def test_the_world_frame_is_the_first_camera_which_is_level(scene: DatasetScene) -> None:
    np.testing.assert_allclose(scene.frames[0].T_world_camera, np.eye(4), atol=1e-9)
    for frame in scene.frames:
        assert abs(frame.T_world_camera[1, 0]) < 1e-9  # a robot does not roll: right is level
        assert frame.T_world_camera[1, 1] > 0.5


def test_up_is_found_from_the_train_cameras(scene: DatasetScene) -> None:
    T_map_world = level_transform(np.stack([frame.T_world_camera for frame in scene.train]))
    assert (T_map_world[:3, :3] @ [0, -1, 0])[2] > np.cos(np.deg2rad(1.0))


def test_units_are_not_metres_but_known(scene: DatasetScene, truth: dict[str, Any]) -> None:
    metres = truth["metres_per_unit"]
    assert 0.2 <= metres <= 5.0 and abs(metres - 1) > 0.01
    positions = np.array([frame.T_world_camera[:3, 3] for frame in scene.frames])
    steps_m = np.linalg.norm(np.diff(positions, axis=0), axis=1) * metres
    assert steps_m.max() < 1.0 and steps_m.sum() > 1.0
    floor_m = max(box_corners(box_of(truth, name))[:, 1].max() for name in truth["objects"]) * metres
    assert floor_m < 1.45  # y is down and 0 at the camera, which is at most 1.38 m above the floor


def test_points_lie_where_their_keypoints_show_them(folder: Path) -> None:
    model = read_model(folder / MODEL)
    assert len(model.points.ids) > 100
    off_px = []
    for number, position, track, keypoints in zip(
        model.points.ids, model.points.positions, model.points.tracks, model.points.keypoints, strict=True
    ):
        assert len(set(track.tolist())) == len(track) >= 2
        for image_id, keypoint in zip(track.tolist(), keypoints.tolist(), strict=True):
            image = model.images[image_id]
            assert image.point_ids[keypoint] == number
            pixel, depth = project(model.cameras[1], apply(inverse(image.T_world_camera), position))
            assert depth > 0
            off_px.append(np.linalg.norm(pixel - image.keypoints_px[keypoint]))
    assert np.median(off_px) < 0.2 and np.max(off_px) < 2.0


def test_points_have_the_colour_of_the_picture(folder: Path, scene: DatasetScene) -> None:
    """Median over keypoints: the textures are finer than the pixels of these small images."""
    model = read_model(folder / MODEL)
    off = []
    for frame in scene.frames:
        image, (rgb, _) = model.images[frame.image_id], scene.picture(frame)
        column, row = np.clip(image.keypoints_px.astype(int), 0, SIZE - 1).T
        off.append(np.abs(model.points.rgb[image.point_ids - 1].astype(int) - rgb[row, column]).mean(axis=1))
    assert np.median(np.concatenate(off)) < 20


def test_the_nearer_ear_is_the_louder_one(scene: DatasetScene, truth: dict[str, Any]) -> None:
    """The audio of each second belongs to the viewpoint of its frame."""
    sides = 0
    for frame in scene.frames:
        clip = scene.binaural(frame)
        assert clip is not None and clip.shape == (44_100, 2)
        x, y, z = in_camera(frame, np.array(truth["sources"][0]["position_m"]))
        if abs(x) < 0.35 * np.linalg.norm([x, y, z]):
            continue
        left, right = np.sqrt((clip[4410:-4410] ** 2).mean(axis=0))
        assert (left > right) == (x < 0), frame.number
        sides += 1
    assert sides >= 2


def test_a_mono_clip_of_a_train_frame_holds_train_seconds_only(scene: DatasetScene) -> None:
    train = np.array([frame.split == "train" for frame in scene.frames])
    for frame in scene.frames:
        first, second = mono_seconds(frame.number, train)
        assert frame.number in (first, second) and train[first] == train[second] == train[frame.number]
        clip = scene.mono(frame)
        assert clip is not None and clip[0] == scene.sample_rate_hz
        seconds = [scene.binaural(scene.frames[number]) for number in (first, second)]
        both = np.concatenate([samples for samples in seconds if samples is not None])
        np.testing.assert_allclose(clip[1], both.mean(axis=1), atol=2e-4)
    assert mono_seconds(1, train) == (1, 2) and mono_seconds(7, train) == (6, 7)
    assert mono_seconds(8, train) == (8, 8) == mono_seconds(8, train[:9])
    assert mono_seconds(9, train) == (9, 10)
    assert mono_seconds(9, train[:10]) == (9, 9)


def test_an_existing_scene_is_not_simulated_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "plan_scene", None)  # would fail
    assert not simulate_scene(folder, **ARGUMENTS)
    with pytest.raises(DatasetError, match="was simulated with"):
        simulate_scene(folder, **{**ARGUMENTS, "size_px": 64})


def test_single_and_multi_alternate_and_a_failed_scene_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[int, bool]] = []

    def write(
        folder: Path, spec: SceneSpec, array: object, cases: int, settings: dict[str, Any], progress: bool
    ) -> None:
        (folder / "half").touch()
        if len(written) == 3:
            raise OSError("disk full")
        written.append((spec.seed, spec.home.count > 1))
        (folder / "truth.json").write_text(json.dumps({"simulated_with": settings}))

    monkeypatch.setattr(dataset, "plan_scene", lambda spec, *_: spec)
    monkeypatch.setattr(dataset, "write_scene", write)
    with pytest.raises(OSError, match="disk full"):
        simulate_dataset(tmp_path, scenes=4, seed=2, progress=False)
    assert written == [(2000, False), (2001, True), (2002, False)]
    finished = sorted(str(file.parent.relative_to(tmp_path)) for file in tmp_path.rglob("half"))
    assert finished == ["part_1/flat_1/bathroom/1", "part_1/flat_2/kitchen/1", "part_2/flat_1/bathroom/1"]


@pytest.mark.parametrize("wrong", [{"frames": 1}, {"size_px": 8}])
def test_values_that_cannot_be_simulated_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="want at least"):
        simulate_scene(tmp_path / "scene", **{**ARGUMENTS, **wrong})
    assert not (tmp_path / "scene").exists()
