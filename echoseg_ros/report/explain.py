"""Reasons of the last verdict of a run in words: `echoseg explain RUN --object ID`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from echoseg_ros.errors import FolderError
from echoseg_ros.io.files import read_json


def explanation_text(run: Path, object_id: int | None = None) -> str:
    """The reasons for and against an object as the place of a source; without an id, of all sounding objects.

    Raises FolderError if the run has no why.json, or no reasons for that object.
    """
    reasons: list[dict[str, Any]] = read_json(Path(run) / "why.json")
    if object_id is None:
        sounding = {entry["id"] for entry in read_json(Path(run) / "objects.json")["objects"]}
        chosen = [why for why in reasons if why["rank"] == 0 and why["object_id"] in sounding]
        return "\n\n".join(map(_text, chosen)) or "no object sounds; name one with --object"
    chosen = [why for why in reasons if why["object_id"] == object_id]
    if not chosen:
        known = sorted({why["object_id"] for why in reasons})
        raise FolderError(
            f"{run}: object {object_id} is not among the most probable of any source; want one of {known or 'none'}"
        )
    return "\n\n".join(map(_text, chosen))


def _text(why: dict[str, Any]) -> str:
    """One entry of why.json in words."""
    rival = _name(why["rival_id"])
    lines = [
        f"source {why['source_id']}: object {why['object_id']} with {why['probability']:.1%}, "
        + (f"ahead of {rival} with {why['rival_probability']:.1%}" if why["rank"] == 0
           else f"number {why['rank'] + 1}; {rival} has {why['rival_probability']:.1%}"),
        *_table("heard", f"audio windows for the object, and for {rival}", why["windows"]),
        *_table("seen", "views that proposed the object, and views that had it in view and did not", why["views"]),
    ]  # fmt: skip
    return "\n".join(lines)


def _table(verb: str, title: str, reasons: list[dict[str, float]]) -> list[str]:
    """Lines with the reasons for and against, strongest first."""
    lines = [f"  {verb}: {title}"]
    for side, sign in (("for", 1), ("against", -1)):
        on_side = sorted((r for r in reasons if r["share"] * sign > 0), key=lambda r: -abs(r["share"]))
        entries = [f"{r['t_s']:.2f} s ({r['share']:+.1%})" for r in on_side]
        lines.append(f"    {side:8}{', '.join(entries) or '-'}")
    return lines


def _name(object_id: int | None) -> str:
    return "elsewhere" if object_id is None else f"object {object_id}"
