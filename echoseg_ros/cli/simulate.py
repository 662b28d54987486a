"""`echoseg simulate room|rgbd|dataset`: recordings with known truth."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from echoseg_ros.cli.arguments import Commands, add_acoustics, add_command, count, positive, require_extras, span
from echoseg_ros.errors import ConfigError

if TYPE_CHECKING:
    from echoseg_sim.recordings.rgbd_recording import SourceSpec


def add_parser(commands: Commands) -> None:
    """Add the command and its kinds."""
    simulate = commands.add_parser("simulate", help="make a bag with known truth")
    kinds = simulate.add_subparsers(required=True, metavar="KIND")
    _add_room(kinds)
    _add_rgbd(kinds)
    _add_dataset(kinds)


def _add_room(kinds: Commands) -> None:
    room = add_command(kinds, "room", _simulate_room, "a furnished room, rendered and heard from a moving robot")
    room.add_argument("out", type=Path, metavar="OUT")
    room.add_argument("--sources", type=count, default=1, help="objects that sound; 0 = silence (default %(default)s)")
    room.add_argument("--instances", choices=("single", "multi"), default="single",
                      help="multi: several objects of the sounding kind (default %(default)s)")  # fmt: skip
    room.add_argument(
        "--sound", action="append", default=[], metavar="WAV|builtin:NAME", help="instead of the kind's own"
    )
    room.add_argument("--seconds", type=positive, default=20.0, help="length of the recording (default %(default)s)")
    add_acoustics(room)


def _add_rgbd(kinds: Commands) -> None:
    rgbd = add_command(kinds, "rgbd", _simulate_rgbd, "sounds in a recorded RGB-D folder")
    rgbd.add_argument("folder", type=Path, metavar="DIR")
    rgbd.add_argument("out", type=Path, metavar="OUT")
    rgbd.add_argument("--source", action="append", default=[], metavar="NAME|X,Y,Z",
                      help="an object of objects.json or a point in the folder's world; none = silence")  # fmt: skip
    rgbd.add_argument("--sound", action="append", default=[], metavar="WAV|builtin:NAME", help="one for each source")
    rgbd.add_argument("--start-s", type=float, default=0.0, help="begin this far into the folder (default %(default)s)")
    rgbd.add_argument("--seconds", type=positive, default=None, help="length of the recording (default: to the end)")
    rgbd.add_argument("--sound-on", action="append", default=[], type=span, metavar="A:B",
                      help="seconds of the bag in which a source sounds (default: always)")  # fmt: skip
    add_acoustics(rgbd)


def _add_dataset(kinds: Commands) -> None:
    dataset = add_command(
        kinds, "dataset", _simulate_dataset, "scenes in the layout of 3DAVS-S34-O7, half of them multi-instance"
    )
    dataset.add_argument("root", type=Path, metavar="ROOT")
    dataset.add_argument("--scenes", type=count, default=34, help="how many (default %(default)s, the full set)")
    dataset.add_argument("--size", type=count, default=1008, metavar="PX", help="of the images (default %(default)s)")
    dataset.add_argument("--seed", type=count, default=0, help="(default %(default)s)")
    dataset.add_argument(
        "--seconds", type=count, default=120, help="frames of a scene, one a second (default %(default)s)"
    )
    dataset.add_argument(
        "--cases", type=count, default=6, metavar="N", help="other sounds in each scene (default %(default)s)"
    )
    dataset.add_argument("--jobs", type=count, default=1, help="scenes at a time (default %(default)s)")
    dataset.add_argument("--head", type=Path, metavar="SOFA", help="measured responses instead of a spherical head's")


def _simulate_rgbd(a: argparse.Namespace) -> None:
    require_extras("sim")
    from echoseg_sim.recordings.rgbd_recording import simulate_rgbd

    simulate_rgbd(
        a.folder,
        a.out,
        _source_specs(a.source, a.sound, a.sound_on),
        array=a.array,
        rt60_s=a.rt60,
        snr_db=a.snr,
        seed=a.seed,
        start_s=a.start_s,
        seconds=a.seconds,
        progress=not a.quiet,
    )


def _simulate_room(a: argparse.Namespace) -> None:
    require_extras("sim")
    from echoseg_sim.recordings.room_recording import simulate_room

    simulate_room(
        a.out,
        seed=a.seed,
        array=a.array,
        sources=a.sources,
        instances=a.instances,
        rt60_s=a.rt60,
        snr_db=a.snr,
        seconds=a.seconds,
        sounds=a.sound,
        progress=not a.quiet,
    )


def _simulate_dataset(a: argparse.Namespace) -> None:
    require_extras("sim")
    from echoseg_sim.recordings.dataset import simulate_dataset

    simulate_dataset(
        a.root,
        a.scenes,
        a.size,
        a.seed,
        a.seconds,
        a.head,
        progress=not a.quiet,
        cases=a.cases,
        jobs=a.jobs,
    )


def _source_specs(names: list[str], sounds: list[str], spans: list[tuple[float, float]]) -> list[SourceSpec]:
    """Sources paired with sounds in the order given; one span for all, or one for each."""
    from echoseg_sim.recordings.rgbd_recording import SourceSpec

    if len(sounds) > len(names):
        raise ConfigError(f"{len(sounds)} times --sound for {len(names)} times --source: want one --source for each")
    if len(spans) not in (0, 1, len(names)):
        raise ConfigError(f"{len(spans)} times --sound-on for {len(names)} times --source: want one, or one for each")
    sounds = sounds + ["builtin:speech"] * (len(names) - len(sounds))
    spans = spans * len(names) if len(spans) == 1 else spans
    if not spans:
        return [SourceSpec(name, sound) for name, sound in zip(names, sounds, strict=True)]
    return [SourceSpec(name, sound, (span,)) for name, sound, span in zip(names, sounds, spans, strict=True)]
