"""Tasks in parallel processes, each with one thread."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from typing import Any, TypeVar

Result = TypeVar("Result")


def limit_to_one_thread() -> None:
    """Limit numba and torch to one thread, so that parallel processes do not compete for cores."""
    import numba
    import torch

    numba.set_num_threads(1)
    torch.set_num_threads(1)
    with contextlib.suppress(RuntimeError):
        torch.set_num_interop_threads(1)


def run_in_processes(
    function: Callable[..., Result], tasks: Sequence[tuple[Any, ...]], jobs: int
) -> Iterator[tuple[int, Result]]:
    """Yield (number of the task, function(*task)) as tasks finish, `jobs` at a time; one job or task runs in this process.

    An exception of a task is raised here; tasks that have not started are cancelled.
    """
    if jobs <= 1 or len(tasks) <= 1:
        for number, task in enumerate(tasks):
            yield number, function(*task)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=limit_to_one_thread) as pool:
        task_numbers: dict[Future[Result], int] = {pool.submit(function, *task): n for n, task in enumerate(tasks)}
        try:
            for future in as_completed(task_numbers):
                yield task_numbers[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
