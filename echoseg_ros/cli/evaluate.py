"""`echoseg evaluate`: methods of 3D audio-visual segmentation on a data set."""

from __future__ import annotations

import argparse
from pathlib import Path

from echoseg_ros.cli.arguments import Commands, add_command, add_reuse, count, require_extras


def add_parser(commands: Commands) -> None:
    """Add the command."""
    evaluate = add_command(
        commands,
        "evaluate",
        _evaluate,
        "masks of one or more methods in the test views of a data set, scored; resumable",
    )
    evaluate.add_argument("root", type=Path, metavar="ROOT", help="scenes at any depth below it")
    evaluate.add_argument("--out", type=Path, required=True, metavar="DIR", help="runs, scores, masks and pictures")
    evaluate.add_argument(
        "--method", nargs="+", default=["echoseg"], metavar="NAME",
        help="echoseg, echoseg-front-end (ours on the reference's 2D masks), echosegnet (and -eps, -heading, "
        "-eps-heading: other readings of it), echosegnet-no-aisrm, owod-bind (its 2D masks), all (default: echoseg)",
    )  # fmt: skip
    evaluate.add_argument("--jobs", type=count, default=1, help="scenes at a time (default %(default)s)")
    evaluate.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="section.name=value",
        help="one setting of the runs; may be repeated",
    )
    add_reuse(evaluate)


def _evaluate(a: argparse.Namespace) -> None:
    require_extras("eval")
    from echoseg_ros.config import parse_override
    from echoseg_ros.eval.segment.evaluate import evaluate
    from echoseg_ros.eval.segment.evaluate_scene import EvaluateSettings

    settings = EvaluateSettings(overrides=dict(parse_override(text) for text in a.set), fresh=a.fresh, reuse=a.reuse)
    print(evaluate(a.root, a.out, a.method, a.jobs, settings, not a.quiet))
