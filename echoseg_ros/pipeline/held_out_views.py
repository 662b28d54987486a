"""Frames that are kept away from the map to measure it."""

from __future__ import annotations

from echoseg_ros.mapping.mapper import Mapper
from echoseg_ros.types import CameraFrame


class HeldOutViews:
    """Every n-th received frame (index % n == n - 1); n = 0 holds none out."""

    def __init__(self, every: int) -> None:
        self._every = every
        self.frames: list[CameraFrame] = []

    def takes(self, frame: CameraFrame) -> bool:
        """Whether the frame is held out; keeps it then."""
        if self._every <= 0 or frame.index % self._every != self._every - 1:
            return False
        self.frames.append(frame)
        return True

    def psnr_db(self, mapper: Mapper) -> float | None:
        """Mean PSNR of the map over the held-out views, in dB; None without any."""
        values = [mapper.psnr_db(frame) for frame in self.frames]
        return sum(values) / len(values) if values else None
