#!/usr/bin/env python3
"""Start with `python tools/gpu_check`; it needs torch, numpy, scipy, numba and gsplat only."""

import sys
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TOOLS), str(TOOLS.parent)]

from gpu_check.cli import main  # noqa: E402  needs the two folders above in a bare checkout

if __name__ == "__main__":
    sys.exit(main())
