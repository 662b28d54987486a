"""One setting: the type of its values."""

from __future__ import annotations

import pytest

from echoseg_ros.setting import Setting, coerced


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [(float, 20, 20.0), (str, 5, "5"), (tuple, None, ()), (tuple, "a", ("a",)), (tuple, ["a", "b"], ("a", "b")),
     (float, True, True), (str, True, True), (int, 1.5, 1.5)],
)  # fmt: skip
def test_values_of_yaml_and_ros_get_the_type_of_the_setting(kind: type, value: object, expected: object) -> None:
    result = coerced(value, Setting(kind, None, "meaning", "", None, None, ()))
    assert result == expected and type(result) is type(expected)
