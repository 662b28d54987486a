"""The split of a data-set scene into train and test frames.

camera_splits.json has no published schema. These forms are read: {"train": [...], "test": [...]} (also nested, or only one
of the two), lists or mappings of entries with a field for the split, and mappings of names to a split. A frame is given
by its file name with or without folder and suffix, by its number, or by an entry that holds one of these.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from echoseg_ros.errors import DatasetError

Split = Literal["train", "test"]

# Every n-th image in the order of names is a test frame, as is usual for 3D Gaussian splatting.
TEST_EVERY = 8
SPLIT_FILE = "camera_splits.json"
CAMERA_FILES: Mapping[Split, str] = {"train": "train_cameras.json", "test": "test_cameras.json"}

# Words for the two splits in keys and values.
_WORDS: dict[str, Split] = {"train": "train", "training": "train", "test": "test", "testing": "test", "val": "test",
                            "valid": "test", "validation": "test", "eval": "test", "holdout": "test"}  # fmt: skip
# Keys that begin with one of the words: "train_frames", "test-ids", "TrainCameras".
_KEY = re.compile(rf"(?i:{'|'.join(sorted(_WORDS, key=len, reverse=True))})(?![a-zA-Z])|(?:[Tt]rain|[Tt]est)(?=[A-Z])")
# Fields of an entry that give the frame, best first, and fields that give its split.
_NAME_KEYS = ("img_name", "image_name", "name", "file_name", "filename", "file_path", "image", "img", "path", "frame",
              "frame_id", "number", "index", "idx", "id")  # fmt: skip
_SPLIT_KEYS = ("split", "set", "subset", "partition", "mode", "phase")


def frame_number(name: str) -> int | None:
    """The number after the last "_" of a file name, with any number of digits; None if there is none."""
    found = re.search(r"(?:^|_)(\d+)(?:\.[A-Za-z]\w*)*$", name)
    return int(found.group(1)) if found else None


def read_splits(folder: Path, names: Mapping[int, str], known: Iterable[int]) -> dict[int, Split]:
    """The splits of frames by number; frames in neither split are left out.

    names: names of the registered images by number; known: numbers of all frames. Reads SPLIT_FILE, else CAMERA_FILES;
    without both every TEST_EVERY-th registered image in the order of names is a test frame. Raises DatasetError if a file
    has no split, names an unknown frame, or puts a frame into both splits.
    """
    entries: list[tuple[Split, Any]] = []
    files = [folder / SPLIT_FILE] if (folder / SPLIT_FILE).is_file() else []
    for file in files:
        entries += list(_split_entries(_read(file)))
    if not files:
        for split, name in CAMERA_FILES.items():
            if (folder / name).is_file():
                files.append(folder / name)
                entries += [(split, entry) for entry in _frames_of(_read(folder / name))]
    if not files:
        ordered = sorted(names, key=lambda number: names[number])
        return {number: "test" if i % TEST_EVERY == 0 else "train" for i, number in enumerate(ordered)}
    return _assigned(entries, _frame_finder(names, set(known)), names, " and ".join(str(file) for file in files))


def _assigned(
    entries: list[tuple[Split, Any]], find: Callable[[Any], int | None], names: Mapping[int, str], where: str
) -> dict[int, Split]:
    """The splits by frame number. where: the files in messages. Raises DatasetError."""
    splits: dict[int, Split] = {}
    for split, entry in entries:
        number = find(entry)
        if number is None:
            raise DatasetError(f"{where}: no frame of the scene is {_short(entry)}")
        if splits.setdefault(number, split) != split:
            raise DatasetError(f"{where}: frame {number} is both train and test")
    if not splits:
        raise DatasetError(
            f'{where}: no split found in it; want {{"train": [...], "test": [...]}}, or entries with a "split"'
        )
    if len(set(splits.values())) == 1:  # only one split is listed: all other frames belong to the other
        listed = next(iter(splits.values()))
        rest: Split = "test" if listed == "train" else "train"
        return {number: splits.get(number, rest) for number in names}
    return splits


def _split_entries(content: Any) -> Iterator[tuple[Split, Any]]:
    """(split, entry of a frame) of all frames in a file of unknown form."""
    if isinstance(content, list):
        for entry in content:
            split = _own_split(entry)
            if split is not None:
                yield split, entry
            elif isinstance(entry, dict):
                yield from _split_entries(entry)
    elif isinstance(content, dict):
        for key, value in content.items():
            split = _split_of_key(key)
            if split is not None and isinstance(value, list | dict):
                yield from ((split, entry) for entry in _frames_of(value))
            elif isinstance(value, dict) and (own := _own_split(value)) is not None:
                yield own, key if _name_of(value) is None else value
            elif isinstance(value, str) and value.lower() in _WORDS:
                yield _WORDS[value.lower()], key
            elif isinstance(value, list | dict):
                yield from _split_entries(value)


def _own_split(entry: Any) -> Split | None:
    """The split in a field of an entry: "split": "train" or "is_test": true."""
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


def _frames_of(value: Any) -> list[Any]:
    """The entries of frames: a list, a list one level down, or the keys of a mapping."""
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        return []
    lists = [inner for inner in value.values() if isinstance(inner, list)]
    if len(lists) == 1 and len(value) <= 2:  # {"frames": [...]}, perhaps with a count beside it
        return lists[0]
    return list(value)


def _name_of(entry: Any) -> Any | None:
    """The name or number of a frame in an entry; None if it has neither."""
    if isinstance(entry, dict):
        return next((entry[key] for key in _NAME_KEYS if isinstance(entry.get(key), str | int)), None)
    return entry if isinstance(entry, str | int) and not isinstance(entry, bool) else None


def _frame_finder(names: Mapping[int, str], known: set[int]) -> Callable[[Any], int | None]:
    """A function that gives the number of the frame of an entry: by the registered name, else by the number in the name."""
    exact = {text: number for number, name in names.items() for text in (name, str(Path(name).with_suffix("")))}

    def find(entry: Any) -> int | None:
        name = _name_of(entry)
        if isinstance(name, str):
            number = exact.get(name)
            name = number if number is not None else frame_number(Path(name).name)
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
