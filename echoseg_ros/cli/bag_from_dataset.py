"""`echoseg bag-from-dataset`: a scene of the data set as a bag."""

from __future__ import annotations

import argparse
from pathlib import Path

from echoseg_ros.cli.arguments import Commands, add_command


def add_parser(commands: Commands) -> None:
    """Add the command."""
    text = "a data-set scene as a bag: train frames and their seconds only"
    parser = add_command(commands, "bag-from-dataset", _bag_from_dataset, text)
    parser.add_argument("scene", type=Path, metavar="SCENE")
    parser.add_argument("out", type=Path, metavar="OUT")


def _bag_from_dataset(a: argparse.Namespace) -> None:
    from echoseg_ros.pipeline.dataset_bag import write_dataset_bag

    write_dataset_bag(a.scene, a.out, progress=not a.quiet)
