"""A thread with a bounded queue in front: the newest input wins, and every loss is counted."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar, cast

Item = TypeVar("Item")
Result = TypeVar("Result")

# Longest wait of `Worker.call`: enough for a keyframe in work.
CALL_TIMEOUT_S = 120.0
# Pause after an error in spare time.
SPARE_ERROR_PAUSE_S = 1.0


class _Call:
    """An action for the worker's thread to run between two items."""

    def __init__(self, worker: str, action: Callable[[], object]) -> None:
        self._worker = worker
        self._action = action
        self._done = threading.Event()
        self._result: object = None
        self._error: Exception | None = None

    def run(self) -> None:
        try:
            self._result = self._action()
        except Exception as error:  # belongs to the caller
            self._error = error
        finally:
            self._done.set()

    def result(self, timeout_s: float) -> object:
        if not self._done.wait(timeout_s):
            raise TimeoutError(f"the {self._worker} worker was busy for {timeout_s:.0f} s: try again")
        if self._error is not None:
            raise self._error
        return self._result


class Worker(Generic[Item]):
    """Calls `handle(item)` in its own thread, in the order of `put`.

    capacity: most droppable items that may wait; the oldest one is dropped for a newer one, and `dropped` counts it.
    Items that are not droppable (poses, calibration) always arrive. An exception in `handle` is given to
    `on_error(item, error)`, and the thread continues; item is None for an error in spare time. niceness: lowest priority
    step of the thread (`nice`), so that work that can wait leaves the core to work that cannot. spare: called repeatedly
    while nothing waits; does a little work and returns the seconds to rest before the next call unless an item comes.
    Its time counts as `spare_s`, not as `busy_s`.
    """

    def __init__(
        self,
        name: str,
        handle: Callable[[Item], None],
        capacity: int,
        droppable: Callable[[Item], bool] = lambda item: True,
        on_error: Callable[[Item | None, Exception], None] | None = None,
        niceness: int = 0,
        spare: Callable[[], float] | None = None,
    ) -> None:
        self._handle = handle
        self._capacity = capacity
        self._droppable = droppable
        self._on_error = on_error
        self._niceness = niceness
        self._spare = spare
        self._queue: deque[Item | _Call] = deque()
        self._condition = threading.Condition()
        self._stopping = False
        self._working = False
        self.busy_s = 0.0
        self.spare_s = 0.0
        self.handled = 0
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, item: Item) -> Item | None:
        """Queue an item; returns the item that was dropped for it, if any. Never blocks."""
        with self._condition:
            self._queue.append(item)
            lost = self._drop_oldest()
            self._condition.notify_all()
        return lost

    def call(self, action: Callable[[], Result], timeout_s: float = CALL_TIMEOUT_S) -> Result:
        """Run `action` in the thread between two items and wait for its result.

        Runs at once where the thread is not running. Raises what `action` raises, and TimeoutError.
        """
        if not self._thread.is_alive():
            return action()
        call = _Call(self._thread.name, action)
        with self._condition:
            self._queue.append(call)
            self._condition.notify_all()
        return cast(Result, call.result(timeout_s))

    @property
    def waiting(self) -> int:
        """Droppable items in the queue."""
        with self._condition:
            return sum(map(self._may_drop, self._queue))

    def _may_drop(self, item: Item | _Call) -> bool:
        return not isinstance(item, _Call) and self._droppable(item)

    def _drop_oldest(self) -> Item | None:
        waiting = [i for i, queued in enumerate(self._queue) if self._may_drop(queued)]
        if len(waiting) <= self._capacity:
            return None
        lost = self._queue[waiting[0]]
        del self._queue[waiting[0]]
        self.dropped += 1
        return cast(Item, lost)

    def drain(self, timeout_s: float = 60.0) -> bool:
        """Wait until everything queued has been handled; False if that takes longer than the timeout."""
        with self._condition:
            return self._condition.wait_for(lambda: not self._queue and not self._working, timeout_s)

    def stop(self, timeout_s: float = 10.0) -> None:
        """Finish the item in hand, leave the rest, end the thread."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        self._lower_priority()
        while (item := self._next()) is not None:
            if isinstance(item, _Call):
                item.run()
                self._end_item()
            else:
                self._work_on(item)

    def _work_on(self, item: Item) -> None:
        start = time.perf_counter()
        try:
            self._handle(item)
        except Exception as error:
            if self._on_error is None:
                raise
            self._on_error(item, error)
        finally:
            self.busy_s += time.perf_counter() - start
            self.handled += 1
            self._end_item()

    def _end_item(self) -> None:
        with self._condition:
            self._working = False
            self._condition.notify_all()

    def _lower_priority(self) -> None:
        """Lower this thread's priority, and so that of the kernels' threads it starts, where priority is per thread."""
        if self._niceness and sys.platform == "linux":
            thread = threading.get_native_id()
            niceness = max(os.getpriority(os.PRIO_PROCESS, thread), self._niceness)  # only root may raise it again
            os.setpriority(os.PRIO_PROCESS, thread, niceness)

    def _next(self) -> Item | _Call | None:
        """Wait for an item, using the spare time meanwhile; None at the end."""
        rest_s = None if self._spare is None else 0.0
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._queue or self._stopping, rest_s)
                if self._stopping:
                    return None
                if self._queue:
                    self._working = True
                    return self._queue.popleft()
            rest_s = self._use_spare_time()

    def _use_spare_time(self) -> float:
        """Seconds to rest before the next call."""
        assert self._spare is not None
        start = time.perf_counter()
        try:
            return self._spare()
        except Exception as error:
            if self._on_error is None:
                raise
            self._on_error(None, error)
            return SPARE_ERROR_PAUSE_S
        finally:
            self.spare_s += time.perf_counter() - start
