"""The recordings that the map is judged by, each made once, and their frames."""

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

SECONDS = 20.0
_KITCHEN_OBJECT, _KITCHEN_SOUND = "gamepad", "rain_1-17367-A.ogg"
_ROOM_SEEDS = (0, 1)


@dataclass(frozen=True)
class Scene:
    """A recording by name. write: makes the bag at a path."""

    name: str
    write: Callable[[Path], object]

    def bag(self, folder: Path) -> Path:
        """The scene's bag below `folder`, made now unless it is there."""
        path = folder / self.name
        if not path.exists():
            self.write(path)
        return path


def all_scenes(data: Path, progress: bool = False) -> list[Scene]:
    """The recorded kitchen and two simulated rooms, 20 s each, one object sounding in each of them.

    Raises FolderError if the kitchen or its sound is not in the folder of recordings.
    """
    from echoseg_sim.recordings.rgbd_recording import SourceSpec, simulate_rgbd  # here: the simulator needs open3d
    from echoseg_sim.recordings.room_recording import simulate_room

    kitchen, sound = data / "real_kitchen", data / "sounds" / _KITCHEN_SOUND
    for path in (kitchen, sound):
        if not path.exists():
            raise FolderError(f"{path}: missing; the bench needs the recorded kitchen and its sound")
    source = SourceSpec(_KITCHEN_OBJECT, str(sound))

    def room(seed: int) -> Scene:
        return Scene(f"room_{seed}", lambda out: simulate_room(out, seed=seed, seconds=SECONDS, progress=progress))

    write_kitchen = lambda out: simulate_rgbd(kitchen, out, [source], seconds=SECONDS, progress=progress)  # noqa: E731
    return [Scene("kitchen", write_kitchen), *(room(seed) for seed in _ROOM_SEEDS)]


def bag_views(bag: Path, config: InputConfig, width_px: int | None = None, use_depth: bool = True) -> list[CameraFrame]:
    """All posed frames of a bag in order of time, with depth unless told otherwise, at most `width_px` wide.

    Raises BagError for a bag that cannot be read; frames that cannot be used raise as FrameAssembler.add does.
    """
    assembler = FrameAssembler(config, use_depth)
    frames: list[CameraFrame] = []
    for item in BagReader(bag, require=("image", "camera_info", "pose")).messages():
        if isinstance(item, Camera | ImageData | DepthData | PoseData):
            ready = assembler.add(item)
            frames += ready if width_px is None else [reduced(frame, width_px) for frame in ready]
    return frames


def is_held_out(frame: CameraFrame, every: int) -> bool:
    """Whether a run that holds out every n-th received frame keeps this one out of its map."""
    return every > 0 and frame.index % every == every - 1
