"""One setting: how a dataclass field declares it, its description, and the check of a value."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from echoseg_ros.errors import ConfigError


def setting(default: Any, meaning: str, unit: str = "", low: float | None = None, high: float | None = None,
            choices: tuple[str, ...] = ()) -> Any:  # fmt: skip
    """Dataclass field with its meaning, unit, inclusive bounds and allowed choices."""
    return field(
        default=default, metadata={"meaning": meaning, "unit": unit, "low": low, "high": high, "choices": choices}
    )


@dataclass(frozen=True)
class Setting:
    """Type, default, meaning, unit, bounds and choices of one setting; `type` is tuple for tuple[str, ...]."""

    type: type
    default: Any
    meaning: str
    unit: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]


def settings_of(settings_class: type) -> Iterator[tuple[str, Setting]]:
    """The settings (name, description) of a dataclass whose fields are made by `setting`."""
    types = typing.get_type_hints(settings_class)
    for f in dataclasses.fields(settings_class):
        yield f.name, Setting(typing.get_origin(types[f.name]) or types[f.name], f.default, **f.metadata)


def coerced(value: Any, spec: Setting) -> Any:
    """A value of YAML or ROS in the setting's own type where the meaning is the same; any other value is unchanged.

    A whole number for a float, a number for a text, a list or a single text for a tuple; None, which ROS makes of an
    empty list in a file, is an empty tuple.
    """
    if spec.type is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if spec.type is tuple:
        if value is None:
            return ()
        return (value,) if isinstance(value, str) else tuple(value)
    if spec.type is str and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value


def check_value(key: str, value: Any, spec: Setting) -> None:
    """Raises ConfigError for a value that is not of the setting's type, choices or bounds."""
    if not _has_type(value, spec.type):
        raise ConfigError(f"{key} = {value!r}: want {spec.type.__name__}")
    if spec.choices and value not in spec.choices:
        raise ConfigError(f"{key} = {value!r}: want one of {', '.join(spec.choices)}")
    below = spec.low is not None and value < spec.low
    above = spec.high is not None and value > spec.high
    if below or above:
        raise ConfigError(f"{key} = {value!r}: want {spec.low} to {spec.high} {spec.unit}".rstrip())


def _has_type(value: Any, kind: type) -> bool:
    """Like isinstance, but True and False are not numbers."""
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def nearest_name(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: "; did you mean 'map.backend'?", or "" if no known name is similar."""
    import difflib

    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
