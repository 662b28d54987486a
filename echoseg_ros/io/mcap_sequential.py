"""Reading of damaged mcap files record by record, without the index at the end of the file.

A killed recorder leaves no index, a full disk cuts a chunk, a bad sector damages one chunk. Format: https://mcap.dev/spec;
a record is one byte of opcode, eight bytes of length, and the content.
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
# Chunks held back to sort messages by log time; chunks of a recorder overlap in time with fewer neighbours than this.
_REORDER_CHUNKS = 4


class SequentialMcapReader:
    """Iterates over the messages of a file, sorted by log time within _REORDER_CHUNKS chunks, and over its damages."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._schemas: dict[int, str] = {}
        self._channels: dict[int, tuple[str, str]] = {}

    def __iter__(self) -> Iterator[StoredMessage | Damage]:
        waiting: list[tuple[int, int, StoredMessage]] = []  # heap of (log time, order in the file, message)
        newest_ns: list[int] = []  # newest log time of each of the last chunks
        count = 0
        with self.path.open("rb") as file:
            for batch in self._batches(file):
                if isinstance(batch, Damage):
                    yield batch
                    continue
                for message in batch:
                    heapq.heappush(waiting, (message.log_time_ns, count, message))
                    count += 1
                newest_ns = [*newest_ns, max((m.log_time_ns for m in batch), default=0)][-_REORDER_CHUNKS:]
                while waiting and len(newest_ns) == _REORDER_CHUNKS and waiting[0][0] <= newest_ns[0]:
                    yield heapq.heappop(waiting)[2]
        while waiting:
            yield heapq.heappop(waiting)[2]

    def _batches(self, file: BinaryIO) -> Iterator[list[StoredMessage] | Damage]:
        """The messages of each chunk, and single messages outside of chunks."""
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
            complete = len(content) == length
            yield from self._record(opcode, content, complete, offset)
            if not complete:
                yield Damage(f"{self.path.name} ends in the middle of a record (byte {offset})")
                return
        yield Damage(f"{self.path.name} has no end record: the recorder was stopped before it finished the file")

    def _record(
        self, opcode: int, content: bytes, complete: bool, offset: int
    ) -> Iterator[list[StoredMessage] | Damage]:
        if opcode != _CHUNK:
            if complete and (message := self._message_or_definition(opcode, content)):
                yield [message]
            return
        records, damage = _chunk_records(content, complete)
        messages, is_cut = self._chunk_messages(records)
        yield messages
        if damage or (is_cut and complete):
            yield Damage(f"{self.path.name}: chunk at byte {offset} is damaged: {damage or 'a record is cut off'}")

    def _chunk_messages(self, records: bytes) -> tuple[list[StoredMessage], bool]:
        """The messages among the records of a chunk, and whether the last record is cut."""
        messages: list[StoredMessage] = []
        at = 0
        while at + _RECORD.size <= len(records):
            opcode, length = _RECORD.unpack_from(records, at)
            at += _RECORD.size
            if at + length > len(records):
                return messages, True
            if message := self._message_or_definition(opcode, records[at : at + length]):
                messages.append(message)
            at += length
        return messages, at != len(records)

    def _message_or_definition(self, opcode: int, content: bytes) -> StoredMessage | None:
        """The message of a message record; a schema or channel record is stored for later messages and gives None."""
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
    """A text with its length in front, and the offset of its end."""
    (length,) = struct.unpack_from("<I", content, at)
    end = at + 4 + length
    return content[at + 4 : end].decode(errors="replace"), end


def _chunk_records(content: bytes, complete: bool) -> tuple[bytes, str]:
    """The uncompressed records of a chunk as far as they can be read, and the damage in words, '' for none."""
    if len(content) < _CHUNK_HEADER.size + 4:
        return b"", "" if not complete else "no header"
    _, _, size, checksum = _CHUNK_HEADER.unpack_from(content)
    try:
        compression, at = _text(content, _CHUNK_HEADER.size)
        records = _decompressed(compression, content[at + 8 :])
    except Exception as error:  # decompressors and struct raise different classes
        return b"", f"cannot be decompressed ({error})"
    if complete and len(records) != size:
        return records, f"holds {len(records)} bytes instead of {size}"
    if complete and checksum and zlib.crc32(records) != checksum:
        return b"", "wrong checksum"
    return records, ""


def _decompressed(compression: str, data: bytes) -> bytes:
    """Decompress as a stream, which gives the beginning of a chunk that is cut."""
    if compression == "":
        return data
    if compression == "zstd":
        return bytes(zstd.ZstdDecompressor().decompress(data))
    if compression == "lz4":
        return bytes(LZ4FrameDecompressor().decompress(data))
    raise ValueError(f"unknown compression {compression!r}")
