"""What a bag holds before it is decoded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StoredMessage:
    """One message as stored."""

    topic: str
    message_type: str
    log_time_ns: int
    data: bytes


@dataclass(frozen=True)
class Damage:
    """A place that could not be read, in words for the user."""

    text: str
