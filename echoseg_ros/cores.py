"""Sizes of the thread pools of numba, OpenMP and BLAS.

The libraries read them when they are imported: call `share_cores` before numpy, torch and numba are imported. This module
imports none of them.
"""

from __future__ import annotations

import os


def share_cores() -> None:
    """Set environment variables that the user has not set: all cores for the kernels of the map, one thread for BLAS.

    The kernels run under OpenMP because the thread pool of numba cannot be used from two threads. Waiting threads sleep
    instead of spinning: the sound thread gets a core at once.
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
