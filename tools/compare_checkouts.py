"""Compares the results of two checkouts for six runs: objects.json, timeline.json and the values of map.ply.

A refactoring changes none of them. The old checkout simulates the bags. Existing bags and runs in WORK are kept: an
interrupted comparison continues where it stopped.

    python tools/compare_checkouts.py OLD NEW --work DIR [--data ../shared/data] [--only room silence]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from echoseg_ros.io.ply_container import read_container

# Compared text files of a run.
TEXT_FILES = ("objects.json", "timeline.json")
# Texts that the new checkout changes on purpose: {file: {old text: new text}}; applied to the old file before comparing.
RENAMED: dict[str, dict[str, str]] = {}


@dataclass(frozen=True)
class Case:
    """One bag and one run of it. simulate: arguments of `echoseg simulate`; run: further arguments of `echoseg run`."""

    name: str
    bag: str
    simulate: tuple[str, ...]
    run: tuple[str, ...] = ()


def cases(data: Path) -> list[Case]:
    """The runs: three rooms (one of them silent), the kitchen with and without depth, a data-set scene."""
    kitchen = ("rgbd", str(data / "real_kitchen"), "BAG", "--source", "white_mug", "--sound", "builtin:speech")
    return [
        Case("room", "room", ("room", "BAG", "--seed", "3")),
        Case("room_two_sources", "room_two_sources", ("room", "BAG", "--seed", "12", "--sources", "2")),
        Case("kitchen", "kitchen", kitchen),
        Case("kitchen_no_depth", "kitchen", kitchen, ("--no-depth",)),
        Case(
            "dataset",
            "dataset",
            ("dataset", "BAG", "--scenes", "1", "--size", "252", "--seconds", "60", "--cases", "0"),
        ),
        Case("silence", "silence", ("room", "BAG", "--seed", "7", "--sources", "0")),
    ]


def echoseg(checkout: Path, *arguments: str) -> None:
    """Run the command `echoseg` of a checkout with this Python. Raises CalledProcessError."""
    links = checkout / "build" / "types"
    links.mkdir(parents=True, exist_ok=True)
    if not (links / "echoseg_sim").exists():
        (links / "echoseg_sim").symlink_to(Path("../../sim"))
    environment = os.environ | {"PYTHONPATH": f"{checkout}{os.pathsep}{links}"}
    code = "import sys; from echoseg_ros.cli import main; sys.exit(main())"
    subprocess.run([sys.executable, "-c", code, "--quiet", *arguments], env=environment, cwd="/", check=True)


def make_bag(case: Case, old: Path, work: Path) -> Path:
    """The bag of a case; the old checkout simulates it unless it exists."""
    bag = work / "bags" / case.bag
    if bag.exists():
        return bag
    partial = bag.with_name(f"{bag.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    if case.simulate[0] == "dataset":
        root = work / "bags" / "dataset_root"
        shutil.rmtree(root, ignore_errors=True)
        echoseg(old, "simulate", *(str(root) if word == "BAG" else word for word in case.simulate))
        scene = next(path.parent for path in sorted(root.rglob("camera_splits.json")))
        echoseg(old, "bag-from-dataset", str(scene), str(partial))
    else:
        echoseg(old, "simulate", *(str(partial) if word == "BAG" else word for word in case.simulate))
    partial.rename(bag)
    return bag


def make_run(case: Case, checkout: Path, bag: Path, out: Path) -> Path:
    """The folder of a checkout's run of the bag; the run is made unless it is complete."""
    if not (out / "map.ply").exists():
        shutil.rmtree(out, ignore_errors=True)
        echoseg(checkout, "run", str(bag), "--out", str(out), *case.run)
    return out


def differences(old: Path, new: Path) -> list[str]:
    """Differences between the results of two runs, one line each."""
    found = []
    for name in TEXT_FILES:
        old_text, new_text = (old / name).read_text(), (new / name).read_text()
        for before, after in RENAMED.get(name, {}).items():
            old_text = old_text.replace(before, after)
        if old_text != new_text:
            found.append(f"{name} differs")
    return found + ply_differences(old / "map.ply", new / "map.ply")


def ply_differences(old: Path, new: Path) -> list[str]:
    """Fields of two PLY files whose values differ bit for bit."""
    old_rows, new_rows = (read_container(path).rows("vertex") for path in (old, new))
    if old_rows.dtype != new_rows.dtype or len(old_rows) != len(new_rows):
        return [f"map.ply: {len(old_rows)} vertices of {old_rows.dtype}, now {len(new_rows)} of {new_rows.dtype}"]
    names = old_rows.dtype.names or ()
    differing = [name for name in names if not np.array_equal(old_rows[name], new_rows[name], equal_nan=True)]
    return [f"map.ply: values of {', '.join(differing)} differ"] if differing else []


def main() -> int:
    """Compare the cases; exit code 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="bags and runs")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("ECHOSEG_TEST_DATA", "../shared/data")))
    parser.add_argument("--only", nargs="+", default=[], metavar="CASE")
    parser.add_argument("--old-only", action="store_true", help="make the old checkout's runs and stop")
    arguments = parser.parse_args()
    old, new, work = arguments.old.resolve(), arguments.new.resolve(), arguments.work.resolve()
    differing = 0
    for case in cases(arguments.data.resolve()):
        if arguments.only and case.name not in arguments.only:
            continue
        bag = make_bag(case, old, work)
        old_run = make_run(case, old, bag, work / "old" / case.name)
        if arguments.old_only:
            continue
        new_run = make_run(case, new, bag, work / "new" / case.name)
        found = differences(old_run, new_run)
        print(f"{case.name:18} {'; '.join(found) or 'same'}", flush=True)
        differing += bool(found)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
