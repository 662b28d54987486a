"""Recordings of the map benchmark, each simulated once, and their frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from echoseg_ros.config import InputConfig
from echoseg_ros.errors import FolderError
from echoseg_ros.io.bag import BagReader
from echoseg_ros.mapping.keyframes import reduced
from echoseg_ros.pipeline.frame_assembler import FrameAssembler
from echoseg_ros.types import Camera, CameraFrame, DepthData, ImageData, PoseData

# Length of each recording, seconds.
SECONDS = 20.0
# The object that sounds in the kitchen, and its sound.
_KITCHEN_OBJECT = "gamepad"
_KITCHEN_SOUND = "rain_1-17367-A.ogg"
_ROOM_SEEDS = (0, 1)


@dataclass(frozen=True)
class Scene:
    """A recording with a name. write: simulates its bag at a path."""

    name: str
    write: Callable[[Path], object]

    def bag(self, folder: Path) -> Path:
        """The scene's bag below `folder`; simulated first if it does not exist."""
        path = folder / self.name
        if not path.exists():
            self.write(path)
        return path


def all_scenes(data: Path, progress: bool = False) -> list[Scene]:
    """The recorded kitchen and two simulated rooms, with one sounding object each.

    data: the folder of recordings. Raises FolderError if it lacks the kitchen or its sound.
    """
    from echoseg_sim.recordings.rgbd_recording import SourceSpec, simulate_rgbd  # here: the simulator needs open3d
    from echoseg_sim.recordings.room_recording import simulate_room

    kitchen, sound = data / "real_kitchen", data / "sounds" / _KITCHEN_SOUND
    for path in (kitchen, sound):
        if not path.exists():
            raise FolderError(f"{path}: missing; the benchmark of the map needs the recorded kitchen and its sound")
    source = SourceSpec(_KITCHEN_OBJECT, str(sound))

    def room(seed: int) -> Scene:
        return Scene(f"room_{seed}", lambda out: simulate_room(out, seed=seed, seconds=SECONDS, progress=progress))

    write_kitchen = lambda out: simulate_rgbd(kitchen, out, [source], seconds=SECONDS, progress=progress)  # noqa: E731
    return [Scene("kitchen", write_kitchen), *(room(seed) for seed in _ROOM_SEEDS)]


def bag_views(bag: Path, config: InputConfig, width_px: int | None = None, use_depth: bool = True) -> list[CameraFrame]:
    """All posed frames of a bag in order of time, with depth if `use_depth`, at most `width_px` wide.

    Raises BagError for an unreadable bag, and for unusable frames the errors of FrameAssembler.add.
    """
    assembler = FrameAssembler(config, use_depth)
    frames: list[CameraFrame] = []
    for item in BagReader(bag, require=("image", "camera_info", "pose")).messages():
        if isinstance(item, Camera | ImageData | DepthData | PoseData):
            ready = assembler.add(item)
            frames += ready if width_px is None else [reduced(frame, width_px) for frame in ready]
    return frames


def is_held_out(frame: CameraFrame, every: int) -> bool:
    """Whether a run that holds out every `every`-th received frame holds out this frame; 0 holds out none."""
    return every > 0 and frame.index % every == every - 1
