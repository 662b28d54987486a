"""Writes docs/parameters.md from the settings of the code: python tools/parameters_doc.py.

The settings stand in echoseg_ros/config.py, those of the node alone in echoseg_ros/nodes/parameters.py, which needs rclpy.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from echoseg_ros.config import RENAMED_SETTINGS, settings
from echoseg_ros.nodes.parameters import NodeParams
from echoseg_ros.setting import Setting, settings_of

COMMAND = "python tools/parameters_doc.py"
DOCUMENT = Path(__file__).parents[1] / "docs" / "parameters.md"

_HEAD = f"""# Parameters

Generated from `echoseg_ros/config.py` and `echoseg_ros/nodes/parameters.py`; do not edit. Write it again with `{COMMAND}`.

Every setting of `config.py` is a key of a YAML file (`echoseg run --config FILE`, `params_file:=FILE`), of
`--set section.name=value`, and a ROS 2 parameter of the same dotted name. An unknown key is refused (node: reported, without
effect). Bounds are inclusive.
A value that is not set keeps its default; `config/echoseg.yaml` holds those that a user is likely to change.
"""
_COLUMNS = "| name | default | unit | range or choices | meaning |\n| --- | --- | --- | --- | --- |\n"


def parameters_document() -> str:
    """The text of docs/parameters.md."""
    stages: dict[str, list[tuple[str, Setting]]] = {}
    for key, spec in settings():
        stages.setdefault(key.split(".")[0], []).append((key, spec))
    parts = [_HEAD, *(f"## {stage}\n\n{_table(rows)}" for stage, rows in stages.items())]
    parts.append(
        "## The node\n\nParameters of the nodes without effect on `echoseg run`. `map_path` and `results_dir` may change "
        f"while a node runs; all other parameters are read once at the start.\n\n{_table(settings_of(NodeParams))}"
    )
    renamed = "".join(f"| `{old}` | `{new}` |\n" for old, new in RENAMED_SETTINGS.items())
    parts.append(
        "## Renamed\n\nAn old name is refused, and the message names the new one.\n\n"
        f"| old | new |\n| --- | --- |\n{renamed}"
    )
    return "\n".join(parts)


def _table(rows: Iterable[tuple[str, Setting]]) -> str:
    return _COLUMNS + "".join(f"| {' | '.join(_cells(name, spec))} |\n" for name, spec in rows)


def _cells(name: str, spec: Setting) -> tuple[str, ...]:
    allowed = ", ".join(f"`{choice}`" for choice in spec.choices) if spec.choices else _range(spec)
    return f"`{name}`", f"`{_value(spec.default)}`", spec.unit, allowed, spec.meaning.replace("|", "\\|")


def _range(spec: Setting) -> str:
    if spec.type is bool:
        return "`true`, `false`"
    return "" if spec.low is None or spec.high is None else f"{_value(spec.low)} to {_value(spec.high)}"


def _value(value: object) -> str:
    """As in YAML; whole numbers of a range without ".0"."""
    if isinstance(value, tuple):
        return json.dumps(list(value))
    if isinstance(value, float):
        return f"{value:.10g}"
    return value if isinstance(value, str) and value else json.dumps(value)


def main() -> None:
    """Write the document."""
    DOCUMENT.write_text(parameters_document())


if __name__ == "__main__":
    main()
