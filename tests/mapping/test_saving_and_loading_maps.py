"""Scenario: maps are saved during mapping and loaded, and mapping continues; foreign fields of a file are kept."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from checkered_room import CAMERA, SMALL, mapped, pose, room_view

from echoseg_ros.io.ply import read_ply, write_ply
from echoseg_ros.mapping.mapper import Mapper

# Poses whose views lie far to the left of those before the save, without overlap.
ELSEWHERE = [pose(x) @ np.array([[1, 0, 0, -3.0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) for x in (-0.2, 0.0, 0.2)]


@pytest.fixture(scope="module")
def mapper() -> Mapper:
    return mapped()


def mapped_on(mapper: Mapper) -> None:
    for i, T_map_camera in enumerate(ELSEWHERE):
        mapper.add_frame(room_view(i, T_map_camera))
        mapper.optimise(20)


@pytest.mark.parametrize("name", ["map.ply", "map.compressed.ply"])
def test_mapping_continues_after_loading(mapper: Mapper, tmp_path: Path, name: str) -> None:
    """A view from before the save looks the same; a view from after the load is mapped."""
    mapper.save(tmp_path / name)
    other = Mapper(SMALL)
    other.load(tmp_path / name)
    old, new = room_view(99, pose(-0.07, 0.45)), room_view(99, ELSEWHERE[1])
    before_db = other.psnr_db(old)
    assert before_db > mapper.psnr_db(old) - 0.5 and other.psnr_db(new) < 10
    mapped_on(other)
    assert other.psnr_db(old, compensate_exposure=True) > mapper.psnr_db(old, compensate_exposure=True) - 1.0
    assert other.psnr_db(new) > 20


def test_gaussians_outside_new_views_stay_unchanged(mapper: Mapper, tmp_path: Path) -> None:
    """Bit by bit, also faint and long Gaussians from another trainer."""
    mapper.save(tmp_path / "map.ply")
    file = read_ply(tmp_path / "map.ply")
    file.opacity_logits[::3] = -4.0
    file.log_scales[1::3, 0] += 3.0
    write_ply(tmp_path / "foreign.ply", file)
    other = Mapper(SMALL)
    other.load(tmp_path / "foreign.ply")
    loaded = other.copy()
    turned = [T @ np.diag([-1.0, 1, -1, 1]) for T in ELSEWHERE]  # back to the wall: these views see another one
    for i, T_map_camera in enumerate(turned):
        view = room_view(i, ELSEWHERE[i])
        other.add_frame(replace(view, T_map_camera=T_map_camera))
        other.optimise(20)
    kept = other.copy()
    assert len(kept) > len(loaded)
    for name in ("means", "quats_wxyz", "log_scales", "opacity_logits", "rgb", "uids"):
        np.testing.assert_array_equal(getattr(kept, name)[: len(loaded)], getattr(loaded, name))


def test_foreign_fields_follow_their_gaussians(mapper: Mapper, tmp_path: Path) -> None:
    """Fields such as f_rest_*: kept with their Gaussians on pruning and insertion, 0 for new ones, removed by `clear`."""
    mapper.save(tmp_path / "map.ply")
    file = read_ply(tmp_path / "map.ply")
    count = len(file.means)
    file.extra["f_rest_0"] = np.arange(1, count + 1, dtype=np.float32)
    file.extra["label"] = np.full(count, 7, np.uint8)
    write_ply(tmp_path / "foreign.ply", file)
    other = Mapper(SMALL)
    other.load(tmp_path / "foreign.ply")
    first_uid = int(other.gaussians.uids[0])
    mapped_on(other)
    gone = torch.ones(len(other.gaussians), dtype=torch.bool)
    gone[10:20] = False
    other._map.keep(gone)
    other.save(tmp_path / "again.ply", np.full(len(other.gaussians), 5))
    again = read_ply(tmp_path / "again.ply")
    loaded = other.gaussians.uids.numpy() - first_uid < count
    assert 0 < (~loaded).sum() and loaded.sum() < count
    np.testing.assert_array_equal(again.extra["f_rest_0"][loaded], other.gaussians.uids.numpy()[loaded] - first_uid + 1)
    assert (again.extra["f_rest_0"][~loaded] == 0).all()
    assert again.extra["label"].dtype == np.uint8 and (again.extra["label"] == np.where(loaded, 7, 0)).all()
    assert (again.extra["instance_id"] == 5).all()
    other.clear()
    other.save(tmp_path / "empty.ply")
    assert set(read_ply(tmp_path / "empty.ply").extra) == {"instance_id", "audio_intensity"}


def test_save_while_mapping(tmp_path: Path) -> None:
    """A thread writes a copy while mapping continues: the file is the map at the moment of the copy, bit for bit."""
    mapper = mapped(views=2)
    copy = mapper.copy()
    before = mapper.render(CAMERA, pose(0.0)).rgb.clone()

    def write_repeatedly() -> None:
        for _ in range(20):
            copy.write(tmp_path / "map.ply")

    writing = threading.Thread(target=write_repeatedly)
    writing.start()
    steps = 0
    while writing.is_alive() or steps < 2:
        mapper.add_frame(room_view(2 + steps, pose(-0.3 + 0.15 * steps)))
        mapper.optimise(5)
        steps += 1
    writing.join()
    assert not np.array_equal(mapper.copy().means[:10], copy.means[:10]), "mapping continued"
    saved = Mapper(SMALL)
    saved.load(tmp_path / "map.ply")
    np.testing.assert_array_equal(saved.copy().means, copy.means)
    torch.testing.assert_close(saved.render(CAMERA, pose(0.0)).rgb, before, atol=1e-5, rtol=0)
