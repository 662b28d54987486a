"""Array descriptions and files: what is refused, and the delays of near and far sounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy.spatial.transform import Rotation
from waves import cube

from echoseg_ros.errors import ArrayError
from echoseg_ros.geometry import transform
from echoseg_ros.sound.array.array_geometry import (
    SPEED_OF_SOUND_M_PER_S,
    SPHERE_DELAY_FACTOR,
    array_from_frames,
    array_from_mapping,
    array_names,
    load_array,
)

PAIR = {"name": "pair", "sample_rate_hz": 16000, "microphones_m": [[0, 0.05, 0], [0, -0.05, 0]]}


@pytest.mark.parametrize(("name", "microphones"), [("cube8", 8), ("square4", 4), ("binaural", 2)])
def test_installed_arrays_load(name: str, microphones: int) -> None:
    array = load_array(name)
    assert array.microphones == microphones
    assert name in array_names()


def test_the_microphone_nearer_to_the_sound_hears_it_first() -> None:
    left, right = array_from_mapping(PAIR).far_field_delays_s(np.array([[0.0, 1.0, 0.0]]))[0]
    assert left == pytest.approx(-0.05 / SPEED_OF_SOUND_M_PER_S)
    assert right == pytest.approx(0.05 / SPEED_OF_SOUND_M_PER_S)


def test_a_head_delays_the_hidden_ear_along_its_arc() -> None:
    ears = array_from_mapping({**PAIR, "head": 0.0875})
    left, right = ears.far_field_delays_s(np.array([[0.0, 1.0, 0.0]]))[0] * SPEED_OF_SOUND_M_PER_S / 0.0875
    # Woodworth: a/c (theta + sin theta) between the ears, times the factor for low frequencies.
    assert (left, right) == pytest.approx((-SPHERE_DELAY_FACTOR, SPHERE_DELAY_FACTOR * np.pi / 2))
    assert ears.far_field_delays_s(np.array([[1.0, 0.0, 0.0]])) == pytest.approx(np.zeros((1, 2)), abs=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"microphones_m": [[0, 0, 0]]}, "1 microphones: want 2 to 16"),
        ({"microphones_m": [[0.01 * i, 0, 0] for i in range(17)]}, "17 microphones: want 2 to 16"),
        ({"microphones_m": [[0, 0, 0], [0, 0, 0]]}, "both at"),
        ({"microphones_m": [[0, 0], [0, 1]]}, "x, y, z"),
        ({"microphones_m": [[0, 0, 0], [0, 0]]}, "rows of equal length"),
        ({"microphones_m": [[0, 0, 0], [0, float("nan"), 0]]}, "finite"),
        ({"sample_rate_hz": 0}, "sample_rate_hz = 0.0: want 1000"),
        ({"channel_order": [0, 0]}, "channel of its own"),
        ({"channel_order": [0, 1, 2]}, "2 microphones"),
        ({"channel_order": [0, 1.5]}, "whole numbers"),
        ({"gains_db": [0]}, "gains_db has shape [1]"),
        ({"delays_s": [0, float("inf")]}, "delays_s"),
        ({"T_camera_array": np.diag([2.0, 1, 1, 1]).tolist()}, "rigid"),
        ({"T_camera_array": [[1, 0], [0, 1]]}, "4 x 4"),
        ({"head": 3.0}, "head radius 3.0 m"),
        ({"head": [1]}, "radius in metres or a SOFA file"),
        ({"hed": 0.1}, "unknown key 'hed'"),
    ],
)
def test_a_wrong_description_is_refused_with_the_value(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ArrayError) as error:
        array_from_mapping({**PAIR, **change})
    assert message in str(error.value)


def test_a_file_is_named_in_its_error(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"sample_rate_hz": 16000}))
    with pytest.raises(ArrayError, match=r"mine\.yaml: microphones_m is missing"):
        load_array(file)
    with pytest.raises(ArrayError, match="No such file"):
        load_array(tmp_path / "other.yaml")
    with pytest.raises(ArrayError, match="unknown array 'cube9': want one of .*cube8"):
        load_array("cube9")


def test_channel_counts_that_do_not_fit_are_named() -> None:
    array = cube()
    array.check_channel_count(8)
    with pytest.raises(ArrayError, match="8 microphones.*audio has 6 channels"):
        array.check_channel_count(6)
    with pytest.raises(ArrayError, match="audio has 9 channels"):
        array.check_channel_count(9)
    # A card with a playback channel before its microphones: channel_order selects the channels.
    array_from_mapping({**PAIR, "channel_order": [1, 2]}).check_channel_count(6)


@pytest.mark.parametrize("name", ["cube8", "square4", "binaural"])
def test_near_field_delays_approach_far_field_delays_with_distance(name: str) -> None:
    array = load_array(name)
    directions = np.random.default_rng(0).standard_normal((50, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    far_s = array.far_field_delays_s(directions)
    assert array.near_field_delays_s(1000.0 * directions) == pytest.approx(far_s, abs=2e-8)
    near_s = array.near_field_delays_s(0.3 * directions)
    assert np.abs(near_s - far_s).max() > 5e-6  # at 30 cm the wave front is curved


def test_near_field_delays_are_path_lengths() -> None:
    left, right = array_from_mapping(PAIR).near_field_delays_s(np.array([[0.0, 0.25, 0.0]]))[0]
    assert (left, right) == pytest.approx((-0.05 / SPEED_OF_SOUND_M_PER_S, 0.05 / SPEED_OF_SOUND_M_PER_S))


def test_an_array_from_frames_has_the_delays_of_the_described_one() -> None:
    described = load_array("cube8")
    frames = []
    for place in described.microphones_m:
        frame = np.eye(4)
        frame[:3, 3] = (described.T_camera_array @ np.append(place, 1.0))[:3]
        frames.append(frame)
    array = array_from_frames(frames, 16000.0, channel_order=list(range(7, -1, -1)))
    towards_camera = np.array([[0.6, 0.0, 0.8]])
    expected_s = described.far_field_delays_s(towards_camera @ described.T_camera_array[:3, :3])
    assert array.far_field_delays_s(towards_camera @ array.T_camera_array[:3, :3]) == pytest.approx(
        expected_s, abs=1e-12
    )
    assert array.T_camera_array[:3, 3] == pytest.approx(described.T_camera_array[:3, 3])
    assert array.channel_order.tolist() == [7, 6, 5, 4, 3, 2, 1, 0]
    with pytest.raises(ArrayError, match="1 microphones: want 2 to 16"):
        array_from_frames(frames[:1], 16000.0)


def test_frames_are_expressed_in_the_given_array_frame() -> None:
    T_camera_array = transform(Rotation.from_euler("xyz", [20, -30, 70], degrees=True).as_matrix(), np.ones(3))
    places_m = np.array([[0.1, 0.0, 0.0], [0.0, 0.1, 0.0], [0.0, 0.0, 0.1]])
    frames = [T_camera_array @ transform(np.eye(3), place) for place in places_m]
    array = array_from_frames(frames, 16000, T_camera_array=T_camera_array)
    assert array.microphones_m == pytest.approx(places_m)
    assert array.T_camera_array == pytest.approx(T_camera_array)
