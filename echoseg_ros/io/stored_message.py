"""A message of a bag before it is decoded, and damage found while reading."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StoredMessage:
    """A message as the bag stores it. data: CDR bytes."""

    topic: str
    message_type: str
    log_time_ns: int
    data: bytes


@dataclass(frozen=True)
class Damage:
    """A part of a bag that could not be read. text: one line for the user."""

    text: str
