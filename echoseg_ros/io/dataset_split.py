"""Which frames of a data-set scene are for training and which for testing, from a file of any sensible shape.

camera_splits.json has no published schema. Understood are {"train": [...], "test": [...]} (also nested, or only one
of the two), lists or mappings of entries with a field that tells the split, and mappings of names to a split. A frame
is told by its file name with or without folder and suffix, its number, or an entry that holds either.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from echoseg_ros.errors import DatasetError

Split = Literal["train", "test"]

# The convention of 3D Gaussian splatting: every eighth image in the order of the names is for testing.
TEST_EVERY = 8
SPLIT_FILE = "camera_splits.json"
CAMERA_FILES: Mapping[Split, str] = {"train": "train_cameras.json", "test": "test_cameras.json"}

_WORDS: dict[str, Split] = {"train": "train", "training": "train", "test": "test", "testing": "test", "val": "test",
                            "valid": "test", "validation": "test", "eval": "test", "holdout": "test"}  # fmt: skip
# A key as "train_frames", "test-ids" or "TrainCameras" begins with one of the words.
_KEY = re.compile(rf"(?i:{'|'.join(sorted(_WORDS, key=len, reverse=True))})(?![a-zA-Z])|(?:[Tt]rain|[Tt]est)(?=[A-Z])")
_NAME_KEYS = ("img_name", "image_name", "name", "file_name", "filename", "file_path", "image", "img", "path", "frame",
              "frame_id", "number", "index", "idx", "id")  # fmt: skip
_SPLIT_KEYS = ("split", "set", "subset", "partition", "mode", "phase")


def frame_number(name: str) -> int | None:
    """The number after the last "_" of a file's name, of any width; None if there is none."""
    found = re.search(r"(?:^|_)(\d+)(?:\.[A-Za-z]\w*)*$", name)
    return int(found.group(1)) if found else None


def read_splits(folder: Path, names: Mapping[int, str], known: Iterable[int]) -> dict[int, Split]:
    """The split of each frame that has one, by its number.

    names: the registered images by number; known: the numbers of all frames, registered or not. Reads SPLIT_FILE, else
    CAMERA_FILES, else takes every TEST_EVERY-th registered image in the order of names. Raises DatasetError if a file
    cannot be understood, names a frame that is not there, or puts one into both.
    """
    told: list[tuple[Split, Any]] = []
    files = [folder / SPLIT_FILE] if (folder / SPLIT_FILE).is_file() else []
    for file in files:
        told += list(_told(_read(file)))
    if not files:
        for split, name in CAMERA_FILES.items():
            if (folder / name).is_file():
                files.append(folder / name)
                told += [(split, entry) for entry in _entries(_read(folder / name))]
    if not files:
        ordered = sorted(names, key=lambda number: names[number])
        return {number: "test" if i % TEST_EVERY == 0 else "train" for i, number in enumerate(ordered)}
    return _assigned(told, _finder(names, set(known)), names, " and ".join(str(file) for file in files))


def _assigned(
    told: list[tuple[Split, Any]], find: Callable[[Any], int | None], names: Mapping[int, str], where: str
) -> dict[int, Split]:
    splits: dict[int, Split] = {}
    for split, entry in told:
        number = find(entry)
        if number is None:
            raise DatasetError(f"{where}: no frame of the scene is {_short(entry)}")
        if splits.setdefault(number, split) != split:
            raise DatasetError(f"{where}: frame {number} is both train and test")
    if not splits:
        raise DatasetError(
            f'{where}: no split found in it; want {{"train": [...], "test": [...]}}, or entries with a "split"'
        )
    if len(set(splits.values())) == 1:  # only one of the two is listed: the others are the rest
        listed = next(iter(splits.values()))
        rest: Split = "test" if listed == "train" else "train"
        return {number: splits.get(number, rest) for number in names}
    return splits


def _told(content: Any) -> Iterator[tuple[Split, Any]]:
    """(split, frame as written) for all that a file of unknown shape says."""
    if isinstance(content, list):
        for entry in content:
            split = _own_split(entry)
            if split is not None:
                yield split, entry
            elif isinstance(entry, dict):
                yield from _told(entry)
    elif isinstance(content, dict):
        for key, value in content.items():
            split = _split_of_key(key)
            if split is not None and isinstance(value, list | dict):
                yield from ((split, entry) for entry in _entries(value))
            elif isinstance(value, dict) and (own := _own_split(value)) is not None:
                yield own, key if _name_of(value) is None else value
            elif isinstance(value, str) and value.lower() in _WORDS:
                yield _WORDS[value.lower()], key
            elif isinstance(value, list | dict):
                yield from _told(value)


def _own_split(entry: Any) -> Split | None:
    """What an entry says about itself, as "split": "train" or "is_test": true."""
    if not isinstance(entry, dict):
        return None
    for key in _SPLIT_KEYS:
        value = entry.get(key)
        if isinstance(value, str) and value.lower() in _WORDS:
            return _WORDS[value.lower()]
    for word, other in (("test", "train"), ("train", "test")):
        value = entry.get(f"is_{word}")
        if isinstance(value, bool):
            return _WORDS[word if value else other]
    return None


def _split_of_key(key: str) -> Split | None:
    found = _KEY.match(key)
    return _WORDS[found.group(0).lower()] if found else None


def _entries(value: Any) -> list[Any]:
    """The frames in a list, in a list one level down, or as the keys of a mapping."""
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        return []
    lists = [inner for inner in value.values() if isinstance(inner, list)]
    if len(lists) == 1 and len(value) <= 2:  # {"frames": [...]}, perhaps with a count beside it
        return lists[0]
    return list(value)


def _name_of(entry: Any) -> Any | None:
    """The name or number of a frame as an entry gives it."""
    if isinstance(entry, dict):
        return next((entry[key] for key in _NAME_KEYS if isinstance(entry.get(key), str | int)), None)
    return entry if isinstance(entry, str | int) and not isinstance(entry, bool) else None


def _finder(names: Mapping[int, str], known: set[int]) -> Callable[[Any], int | None]:
    """Finds a frame's number from an entry: by its name as registered, else by the number in it."""
    exact = {text: number for number, name in names.items() for text in (name, str(Path(name).with_suffix("")))}

    def find(entry: Any) -> int | None:
        name = _name_of(entry)
        if isinstance(name, str):
            found = exact.get(name)
            name = found if found is not None else frame_number(Path(name).name)
        return name if name in known else None

    return find


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise DatasetError(f"{file}: not JSON ({error})") from error


def _short(entry: Any) -> str:
    text = json.dumps(_name_of(entry) if _name_of(entry) is not None else entry)
    return text if len(text) <= 60 else text[:57] + "..."
