"""Runs `echoseg` as python -m echoseg_ros.cli."""

import sys

from echoseg_ros.cli.entry import main

if __name__ == "__main__":
    sys.exit(main())
