"""PLY as a container: a header in text, then tables with rows of fixed size.

Turk, "The PLY Polygon File Format", 1994.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.errors import MapFileError
from echoseg_ros.io.files import replacing

# PLY names of a numpy type code; the first name is written.
_NAMES = {
    "i1": ("char", "int8"),
    "u1": ("uchar", "uint8"),
    "i2": ("short", "int16"),
    "u2": ("ushort", "uint16"),
    "i4": ("int", "int32"),
    "u4": ("uint", "uint32"),
    "f4": ("float", "float32"),
    "f8": ("double", "float64"),
}
_TYPES = {name: code for code, names in _NAMES.items() for name in names}
_BYTE_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}
# Largest size of a header that is searched for its end, bytes.
_MAX_HEADER_BYTES = 65536
_END = re.compile(rb"\nend_header[ \t]*\r?\n")
# Other file formats of Gaussians by their first bytes.
_OTHER_FORMATS = {b"\x1f\x8b": "gzip, as .spz", b"PK\x03\x04": "a zip, as .sog", b"NGSP": ".spz"}


@dataclass(frozen=True)
class PlyElement:
    """A table of the file. dtype: type of a row; None if rows differ in size (lists) or the file is text."""

    name: str
    count: int
    fields: tuple[str, ...]
    dtype: np.dtype[Any] | None


@dataclass(frozen=True)
class PlyContainer:
    """A file with its parsed header. format: name in the header; start: offset of the first row, bytes."""

    path: Path
    content: bytes
    format: str
    start: int
    elements: dict[str, PlyElement]

    def fields(self, name: str) -> tuple[str, ...]:
        """Names of the fields of an element; none if it is missing."""
        return self.elements[name].fields if name in self.elements else ()

    def count(self, name: str) -> int:
        """Number of rows of an element; 0 if it is missing."""
        return self.elements[name].count if name in self.elements else 0

    def rows(self, name: str) -> NDArray[Any]:
        """[count] structured array of the rows of an element. Raises MapFileError if the file is shorter or text."""
        if self.format not in _BYTE_ORDERS:
            raise MapFileError(f"map file {self.path}: format {self.format}, want binary_little_endian")
        start = self.start
        for element in self.elements.values():
            if element.dtype is None:
                raise MapFileError(f"map file {self.path}: cannot read the lists of element {element.name}")
            if element.name == name:
                return self._rows(element, element.dtype, start)
            start += element.count * element.dtype.itemsize
        raise KeyError(name)

    def _rows(self, element: PlyElement, dtype: np.dtype[Any], start: int) -> NDArray[Any]:
        wanted, there = element.count * dtype.itemsize, max(len(self.content) - start, 0)
        if there < wanted:
            size = f"{there} bytes of {wanted} for {element.count} rows of {element.name}"
            raise MapFileError(f"map file {self.path}: truncated, {size}")
        return np.frombuffer(self.content, dtype, element.count, start)


def read_container(path: Path) -> PlyContainer:
    """Read a file and parse its header; comments and obj_info are skipped. Raises MapFileError."""
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MapFileError(f"map file {path}: {error.strerror}") from error
    end = _END.search(content, 0, _MAX_HEADER_BYTES)
    if not content.startswith((b"ply\n", b"ply\r\n", b"ply ")) or end is None:
        kind = next((f" ({kind})" for start, kind in _OTHER_FORMATS.items() if content.startswith(start)), "")
        raise MapFileError(f"map file {path}: not a PLY file{kind}")
    words = [line.split() for line in content[: end.start()].decode("ascii", "replace").splitlines()]
    formats = [line[1] for line in words if len(line) > 1 and line[0] == "format"]
    if len(formats) != 1:
        raise MapFileError(f"map file {path}: format {' '.join(formats) or 'unknown'}, want binary_little_endian")
    try:
        elements = _elements(words, _BYTE_ORDERS.get(formats[0]))
    except ValueError as error:
        raise MapFileError(f"map file {path}: {error}") from error
    return PlyContainer(path, content, formats[0], end.end(), elements)


def write_container(path: Path, elements: dict[str, NDArray[Any]], comment: str | None = None) -> None:
    """Write structured arrays [count] as elements, little endian, atomically; the content is on disk afterwards."""
    header = ["ply", "format binary_little_endian 1.0", *([f"comment {comment}"] if comment else [])]
    for name, rows in elements.items():
        header.append(f"element {name} {len(rows)}")
        header += [f"property {_NAMES[_code(rows.dtype[field])][0]} {field}" for field in rows.dtype.names or ()]
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write("\n".join([*header, "end_header", ""]).encode())
        for rows in elements.values():
            file.write(rows.astype(rows.dtype.newbyteorder("<"), copy=False).tobytes())
        file.flush()
        os.fsync(file.fileno())


def has_ply_type(values: NDArray[Any]) -> bool:
    """Whether PLY has the number type of an ndarray."""
    return _code(values.dtype) in _NAMES


def _code(dtype: np.dtype[Any]) -> str:
    return str(dtype.newbyteorder("<").str[1:])


def _elements(words: list[list[str]], byte_order: str | None) -> dict[str, PlyElement]:
    """The elements of a header, given as words by line. Raises ValueError for a line that cannot be read."""
    result: dict[str, PlyElement] = {}
    starts = [i for i, line in enumerate(words) if line and line[0] == "element"]
    for start, end in zip(starts, [*starts[1:], len(words)], strict=True):
        if len(words[start]) != 3 or not words[start][2].isdigit() or words[start][1] in result:
            raise ValueError(f"cannot read {' '.join(words[start])!r}")
        _, name, count = words[start]
        properties = [line for line in words[start + 1 : end] if line and line[0] == "property"]
        fields = tuple(line[-1] for line in properties)
        result[name] = PlyElement(name, int(count), fields, _row_type(properties, byte_order))
    return result


def _row_type(properties: list[list[str]], byte_order: str | None) -> np.dtype[Any] | None:
    """Type of a row; None for lists and text. Raises ValueError for a line that cannot be read."""
    for line in properties:
        is_list = len(line) == 5 and line[1] == "list"
        if not is_list and (len(line) != 3 or line[1] not in _TYPES):
            raise ValueError(f"cannot read {' '.join(line)!r}")
    if byte_order is None or any(len(line) == 5 for line in properties):
        return None
    return np.dtype([(line[2], byte_order + _TYPES[line[1]]) for line in properties])
