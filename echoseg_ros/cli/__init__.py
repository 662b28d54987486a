"""The command `echoseg`, one file for each of its commands."""

from echoseg_ros.cli.entry import main

__all__ = ["main"]
