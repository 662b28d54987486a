from __future__ import annotations

import numpy as np
import pytest
import yaml
from waves import cube

from echoseg_ros.errors import ArrayError
from echoseg_ros.sound.array import SPEED_OF_SOUND_M_PER_S, array_from_mapping, array_names, load_array

PAIR = {"name": "pair", "sample_rate_hz": 16000, "microphones_m": [[0, 0.05, 0], [0, -0.05, 0]]}


@pytest.mark.parametrize(("name", "microphones"), [("cube8", 8), ("square4", 4), ("binaural", 2)])
def test_installed_arrays_load(name: str, microphones: int) -> None:
    array = load_array(name)
    assert array.microphones == microphones
    assert name in array_names()


def test_the_microphone_nearer_to_the_sound_hears_it_first() -> None:
    left, right = array_from_mapping(PAIR).delays_for(np.array([[0.0, 1.0, 0.0]]))[0]
    assert left == pytest.approx(-0.05 / SPEED_OF_SOUND_M_PER_S)
    assert right == pytest.approx(0.05 / SPEED_OF_SOUND_M_PER_S)


def test_a_head_delays_the_far_ear_along_its_arc() -> None:
    ears = array_from_mapping({**PAIR, "head": 0.0875})
    left, right = ears.delays_for(np.array([[0.0, 1.0, 0.0]]))[0] * SPEED_OF_SOUND_M_PER_S / 0.0875
    assert (left, right) == pytest.approx((-1.0, np.pi / 2))  # Woodworth: a/c (theta + sin theta) between the ears
    assert ears.delays_for(np.array([[1.0, 0.0, 0.0]])) == pytest.approx(np.zeros((1, 2)), abs=1e-12)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"microphones_m": [[0, 0, 0]]}, "1 microphones: want 2 to 16"),
        ({"microphones_m": [[0.01 * i, 0, 0] for i in range(17)]}, "17 microphones: want 2 to 16"),
        ({"microphones_m": [[0, 0, 0], [0, 0, 0]]}, "same place"),
        ({"microphones_m": [[0, 0], [0, 1]]}, "x, y, z"),
        ({"microphones_m": [[0, 0, 0], [0, 0]]}, "rows of equal length"),
        ({"microphones_m": [[0, 0, 0], [0, float("nan"), 0]]}, "finite"),
        ({"sample_rate_hz": 0}, "sample_rate_hz = 0.0: want 1000"),
        ({"channel_order": [0, 0]}, "own channel"),
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
def test_a_wrong_description_is_refused_with_the_value(change: dict, says: str) -> None:
    with pytest.raises(ArrayError) as error:
        array_from_mapping({**PAIR, **change})
    assert says in str(error.value)


def test_a_file_is_named_in_its_error(tmp_path) -> None:
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
    array.check_channels(8)
    with pytest.raises(ArrayError, match="8 microphones.*audio has 6 channels"):
        array.check_channels(6)
    with pytest.raises(ArrayError, match="audio has 9 channels"):
        array.check_channels(9)
    # A card with a playback channel before its microphones: channel_order says which ones to take.
    array_from_mapping({**PAIR, "channel_order": [1, 2]}).check_channels(6)
