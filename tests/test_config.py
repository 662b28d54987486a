"""Settings: bounds, types, files, unknown keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from echoseg_ros.config import RENAMED_SETTINGS, Config, load_config, parse_override, settings
from echoseg_ros.errors import ConfigError


def test_every_setting_has_a_meaning_and_a_unit_or_bounds() -> None:
    for key, spec in settings():
        assert spec.meaning, key
        assert spec.type in (bool, int, float, str), key
        assert (
            spec.type is not float
            or key.split("_")[-1] in ("s", "m", "hz", "rad", "db", "px", "s2")
            or spec.low is not None
        )


def test_override_and_unknown_key() -> None:
    assert Config().updated({"map.steps_per_s": 20}).map.steps_per_s == 20.0
    with pytest.raises(ConfigError, match=r"did you mean 'map.steps_per_s'"):
        Config().updated({"map.step_per_s": 20})


@pytest.mark.parametrize(("key", "value"), [("map.max_gaussians", -1), ("map.max_gaussians", 1.5), ("sound.window_s", "x"),
                                            ("map.backend", "vulkan"), ("output.overlay", 1)])  # fmt: skip
def test_bad_values_are_named(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=key):
        Config().updated({key: value})


def test_files_plain_and_ros(tmp_path: Path) -> None:
    plain, ros = tmp_path / "plain.yaml", tmp_path / "ros.yaml"
    plain.write_text("map: {steps_per_s: 7}\n")
    ros.write_text("/**:\n  ros__parameters:\n    array: cube8\n    map: {steps_per_s: 7}\n")
    assert load_config(plain) == load_config(ros)
    assert load_config(plain, dict([parse_override("map.steps_per_s=9")])).map.steps_per_s == 9


@pytest.mark.parametrize("text", ["mapp: {steps_per_s: 7}", "map: {steps: 7}", "- 1", "map: {a"])
def test_bad_files(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        load_config(path)


def test_a_renamed_setting_is_refused_with_its_new_name(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_text("sound: {own_noise: learn}\n")
    message = r"'sound\.own_noise' was renamed: use 'sound\.ego_noise'"
    with pytest.raises(ConfigError, match=message):
        load_config(path)
    with pytest.raises(ConfigError, match=message):
        load_config(None, {"sound.own_noise": "off"})


def test_every_renamed_setting_points_to_a_setting() -> None:
    known = dict(settings())
    assert not RENAMED_SETTINGS.keys() & known.keys()
    assert set(RENAMED_SETTINGS.values()) <= known.keys()
