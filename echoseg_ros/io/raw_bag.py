"""The stored messages of a rosbag2 folder or file, complete or damaged, before they are decoded."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path

import yaml
from rosbags.rosbag2 import Reader

from echoseg_ros.errors import BagError
from echoseg_ros.io.mcap_sequential import SequentialMcapReader
from echoseg_ros.io.stored_message import Damage, StoredMessage

Entry = StoredMessage | Damage


class RawBag:
    """Topics and messages of a bag.

    Messages are read by the index; where it is damaged, the rest of an mcap file is read record by record. path: folder,
    .mcap or .db3 file; damages: damages found while opening; latched: topics with transient local durability; types,
    counts: message type and number of messages of each topic; start_ns, end_ns: log times. Raises BagError if no message
    can be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.damages: list[Damage] = []
        self._files: list[Path] = []
        self._indexed_path = self._find_indexed_path()
        self.latched: set[str] = set()
        self.types: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        self.start_ns = 0
        self.end_ns = 0
        if self._indexed_path is None or not self._open_indexed(self._indexed_path):
            self._indexed_path = None
            self._survey_files()
        if not self.types:
            reason = f" ({self.damages[-1].text})" if self.damages else ""
            raise BagError(f"bag {self.path}: holds no messages{reason}")

    def messages(self, topics: Collection[str] | None = None) -> Iterator[Entry]:
        """Messages of some topics (None: all) in log-time order, and the damages found on the way."""
        wanted = set(self.types if topics is None else topics)
        delivered = 0
        if self._indexed_path is not None:
            try:
                for message in self._indexed_messages(self._indexed_path, wanted):
                    delivered += 1
                    yield message
                return
            except GeneratorExit:
                raise
            except Exception as error:  # the storage plugins pass on any error of their decoders
                yield Damage(f"bag {self.path}: damaged ({_one_line(error)}); reading continues without the index")
        yield from self._sequential_messages(wanted, skip=delivered)

    def _find_indexed_path(self) -> Path | None:
        """The path that the index reader opens; None if the files must be read in sequence."""
        if not self.path.exists():
            raise BagError(f"bag {self.path}: no such file or folder")
        if self.path.is_file():
            if self.path.suffix not in (".mcap", ".db3"):
                raise BagError(f"bag {self.path}: want a rosbag2 folder, an .mcap or a .db3 file")
            self._files = [self.path]
            return self.path
        self._files = _storage_files(self.path)
        if not self._files:
            missing = "" if (self.path / "metadata.yaml").exists() else "no metadata.yaml and "
            raise BagError(f"bag {self.path}: {missing}no .mcap or .db3 file; want a rosbag2 folder")
        if (self.path / "metadata.yaml").exists():
            return self.path
        self.damages.append(Damage(f"bag {self.path}: metadata.yaml is missing, reading {self._files[0].name} itself"))
        return self._files[0] if len(self._files) == 1 else None

    def _open_indexed(self, path: Path) -> bool:
        try:
            with Reader(path) as reader:
                if not reader.message_count:
                    return self._reopen_file(path, "holds no messages")
                self.start_ns, self.end_ns = reader.start_time, reader.end_time
                for connection in reader.connections:
                    self._count(connection.topic, connection.msgtype, connection.msgcount)
                    profiles = getattr(connection.ext, "offered_qos_profiles", [])
                    if any(profile.durability.name == "TRANSIENT_LOCAL" for profile in profiles):
                        self.latched.add(connection.topic)
        except Exception as error:  # any error, as in messages()
            return self._reopen_file(path, _one_line(error))
        return True

    def _reopen_file(self, path: Path, why: str) -> bool:
        """Open the only file of a folder whose metadata is bad. Returns whether that succeeded."""
        self.types, self.counts, self.latched = {}, {}, set()
        self.damages.append(Damage(f"bag {self.path}: {why}"))
        if path.is_dir() and len(self._files) == 1:
            self._indexed_path = self._files[0]
            return self._open_indexed(self._files[0])
        return False

    def _survey_files(self) -> None:
        """Find topics, counts and times by reading all messages once."""
        times = []
        for entry in self._sequential_messages(None, skip=0):
            if isinstance(entry, StoredMessage):
                self._count(entry.topic, entry.message_type, 1)
                times.append(entry.log_time_ns)
        if times:
            self.start_ns, self.end_ns = min(times), max(times) + 1

    def _count(self, topic: str, message_type: str, count: int) -> None:
        self.types[topic] = message_type
        self.counts[topic] = self.counts.get(topic, 0) + count

    def _indexed_messages(self, path: Path, wanted: set[str]) -> Iterator[StoredMessage]:
        with Reader(path) as reader:
            connections = [c for c in reader.connections if c.topic in wanted]
            if not connections:
                return
            for connection, log_time_ns, data in reader.messages(connections):
                yield StoredMessage(connection.topic, connection.msgtype, log_time_ns, bytes(data))

    def _sequential_messages(self, wanted: set[str] | None, skip: int) -> Iterator[Entry]:
        """Messages in sequence without the first `skip`, which were delivered before; then the damages."""
        damages: list[Damage] = []
        yield from islice(self._file_messages(wanted, damages), skip, None)
        yield from damages

    def _file_messages(self, wanted: set[str] | None, damages: list[Damage]) -> Iterator[StoredMessage]:
        """Messages of all mcap files in sequence; damages are appended to `damages`."""
        for file in self._files:
            if file.suffix != ".mcap":
                damages.append(Damage(f"{file.name}: the rest of a damaged {file.suffix[1:]} file cannot be read"))
                continue
            for entry in SequentialMcapReader(file):
                if isinstance(entry, Damage):
                    damages.append(entry)
                elif wanted is None or entry.topic in wanted:
                    yield entry


def _storage_files(folder: Path) -> list[Path]:
    """The storage files of a bag in the order of its metadata, or by name without readable metadata."""
    try:
        listed = yaml.safe_load((folder / "metadata.yaml").read_text())
        names = [Path(name).name for name in listed["rosbag2_bagfile_information"]["relative_file_paths"]]
        files = [folder / name for name in names if (folder / name).exists()]
    except Exception:  # missing or damaged metadata is reported by RawBag
        files = []
    return files or sorted(file for file in folder.iterdir() if file.suffix in (".mcap", ".db3"))


def _one_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
