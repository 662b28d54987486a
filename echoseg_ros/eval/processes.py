"""Work in parallel processes, each with one thread."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from typing import Any, TypeVar

Result = TypeVar("Result")


def one_thread() -> None:
    """Leave the other cores to the other processes."""
    import numba
    import torch

    numba.set_num_threads(1)
    torch.set_num_threads(1)
    with contextlib.suppress(RuntimeError):
        torch.set_num_interop_threads(1)


def in_processes(
    function: Callable[..., Result], tasks: Sequence[tuple[Any, ...]], jobs: int
) -> Iterator[tuple[int, Result]]:
    """(number of the task, function(*task)) as each is done, `jobs` at a time; in this process for one job or task.

    What a task raises is raised here, and the tasks that have not begun are dropped.
    """
    if jobs <= 1 or len(tasks) <= 1:
        for number, task in enumerate(tasks):
            yield number, function(*task)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=one_thread) as pool:
        asked: dict[Future[Result], int] = {pool.submit(function, *task): n for n, task in enumerate(tasks)}
        try:
            for future in as_completed(asked):
                yield asked[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
