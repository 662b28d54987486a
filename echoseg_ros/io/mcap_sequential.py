"""What can still be read of a damaged mcap file: its records in sequence, without the index at the end.

A recorder that was killed leaves no index; a full disk cuts a chunk in two; a bad sector spoils one chunk. See
https://mcap.dev/spec for the records: one byte of opcode, eight of length, content.
"""

from __future__ import annotations

import heapq
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lz4.frame import LZ4FrameDecompressor  # type: ignore[import-untyped]

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from echoseg_ros.io.stored_message import Damage, StoredMessage

_MAGIC = b"\x89MCAP0\r\n"
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _DATA_END = 0x03, 0x04, 0x05, 0x06, 0x0F
_RECORD = struct.Struct("<BQ")
_MESSAGE_HEADER = struct.Struct("<HIQQ")
_CHUNK_HEADER = struct.Struct("<QQQI")
# Chunks of a recorder overlap in time by less than this many chunks; so much is held to bring messages into order.
_REORDER_CHUNKS = 4


class SequentialMcapReader:
    """Iterates over a file's messages, in log-time order as far as the chunks allow, and over its damages."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._schemas: dict[int, str] = {}
        self._channels: dict[int, tuple[str, str]] = {}

    def __iter__(self) -> Iterator[StoredMessage | Damage]:
        waiting: list[tuple[int, int, StoredMessage]] = []
        ends: list[int] = []
        count = 0
        with self.path.open("rb") as file:
            for batch in self._batches(file):
                if isinstance(batch, Damage):
                    yield batch
                    continue
                for message in batch:
                    heapq.heappush(waiting, (message.log_time_ns, count, message))
                    count += 1
                ends = [*ends, max((m.log_time_ns for m in batch), default=0)][-_REORDER_CHUNKS:]
                while waiting and len(ends) == _REORDER_CHUNKS and waiting[0][0] <= ends[0]:
                    yield heapq.heappop(waiting)[2]
        while waiting:
            yield heapq.heappop(waiting)[2]

    def _batches(self, file: BinaryIO) -> Iterator[list[StoredMessage] | Damage]:
        """The messages of each chunk (or single messages outside of chunks)."""
        if file.read(8) != _MAGIC:
            yield Damage(f"{self.path.name} is not an mcap file")
            return
        while head := file.read(_RECORD.size):
            offset = file.tell() - len(head)
            if len(head) < _RECORD.size:
                yield Damage(f"{self.path.name} ends in the middle of a record (byte {offset})")
                return
            opcode, length = _RECORD.unpack(head)
            if opcode == _DATA_END:
                return
            content = file.read(min(length, self.path.stat().st_size))
            whole = len(content) == length
            yield from self._record(opcode, content, whole, offset)
            if not whole:
                yield Damage(f"{self.path.name} ends in the middle of a record (byte {offset})")
                return
        yield Damage(f"{self.path.name} has no end record: the recorder was cut off")

    def _record(self, opcode: int, content: bytes, whole: bool, offset: int) -> Iterator[list[StoredMessage] | Damage]:
        if opcode != _CHUNK:
            if whole and (message := self._message_or_definition(opcode, content)):
                yield [message]
            return
        inside, damage = _unpacked(content, whole)
        messages, rest = self._chunk_messages(inside)
        yield messages
        if damage or (rest and whole):
            yield Damage(f"{self.path.name}: chunk at byte {offset} is damaged: {damage or 'a record is cut off'}")

    def _chunk_messages(self, inside: bytes) -> tuple[list[StoredMessage], bool]:
        """The messages of a chunk, and whether it ends in the middle of a record."""
        messages: list[StoredMessage] = []
        at = 0
        while at + _RECORD.size <= len(inside):
            opcode, length = _RECORD.unpack_from(inside, at)
            at += _RECORD.size
            if at + length > len(inside):
                return messages, True
            if message := self._message_or_definition(opcode, inside[at : at + length]):
                messages.append(message)
            at += length
        return messages, at != len(inside)

    def _message_or_definition(self, opcode: int, content: bytes) -> StoredMessage | None:
        if opcode == _SCHEMA:
            self._schemas[int.from_bytes(content[:2], "little")] = _text(content, 2)[0]
        elif opcode == _CHANNEL:
            channel, schema = struct.unpack_from("<HH", content)
            self._channels[channel] = (_text(content, 4)[0], self._schemas.get(schema, ""))
        elif opcode == _MESSAGE and len(content) >= _MESSAGE_HEADER.size:
            channel, _, log_time_ns, _ = _MESSAGE_HEADER.unpack_from(content)
            if channel in self._channels:
                return StoredMessage(*self._channels[channel], log_time_ns, content[_MESSAGE_HEADER.size :])
        return None


def _text(content: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<I", content, at)
    end = at + 4 + length
    return content[at + 4 : end].decode(errors="replace"), end


def _unpacked(content: bytes, whole: bool) -> tuple[bytes, str]:
    """A chunk's records, as many as can be had, and what is wrong with them ('' if nothing is)."""
    if len(content) < _CHUNK_HEADER.size + 4:
        return b"", "" if not whole else "no header"
    _, _, size, checksum = _CHUNK_HEADER.unpack_from(content)
    try:
        compression, at = _text(content, _CHUNK_HEADER.size)
        inside = _decompressed(compression, content[at + 8 :])
    except Exception as error:  # the decompressors and struct each raise their own kind
        return b"", f"cannot be unpacked ({error})"
    if whole and len(inside) != size:
        return inside, f"holds {len(inside)} bytes instead of {size}"
    if whole and checksum and zlib.crc32(inside) != checksum:
        return b"", "wrong checksum"
    return inside, ""


def _decompressed(compression: str, data: bytes) -> bytes:
    """Streaming, so that the beginning of a cut chunk comes out."""
    if compression == "":
        return data
    if compression == "zstd":
        return bytes(zstd.ZstdDecompressor().decompress(data))
    if compression == "lz4":
        return bytes(LZ4FrameDecompressor().decompress(data))
    raise ValueError(f"unknown compression {compression!r}")
