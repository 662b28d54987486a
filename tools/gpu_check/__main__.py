#!/usr/bin/env python3
"""Run as `python tools/gpu_check`; nothing has to be installed but torch, numpy, scipy, numba and gsplat."""

import sys
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TOOLS), str(TOOLS.parent)]

from gpu_check.cli import main  # noqa: E402  the two folders above make the import work from a bare checkout

if __name__ == "__main__":
    sys.exit(main())
