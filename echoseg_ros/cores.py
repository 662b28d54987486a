"""How the cores are shared; has to be said before numpy, torch and numba are imported, so this module imports none."""

from __future__ import annotations

import os


def share_cores() -> None:
    """Set what the user has not set: parallel kernels on all cores for the map, one thread for everything else.

    The map's kernels run under OpenMP since numba's own thread pool cannot be entered from two threads; waiting
    threads sleep instead of spinning, so that the sound's thread gets its core at once.
    """
    cores = str(os.cpu_count() or 1)
    defaults = {
        "OMP_WAIT_POLICY": "PASSIVE",
        "NUMBA_THREADING_LAYER": "omp",
        "NUMBA_NUM_THREADS": cores,
        "OMP_NUM_THREADS": cores,
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
