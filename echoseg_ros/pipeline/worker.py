"""A thread with a bounded queue in front: the newest input wins, and what was lost is counted."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Worker(Generic[Item]):
    """Calls `handle(item)` in its own thread, in the order of `put`.

    When more than `capacity` droppable items wait, the oldest of them goes and `dropped` grows; items that are not
    droppable (poses, calibration) always arrive. An exception in `handle` is given to `on_error` and the thread goes on.
    niceness: at least this much for the thread, so that work that can wait leaves the core to work that cannot. spare:
    called again and again while nothing waits; does a little work and returns for how many seconds the thread should
    rest before the next call unless an item comes. It counts as `spare_s`, not as busy.
    """

    def __init__(
        self,
        name: str,
        handle: Callable[[Item], None],
        capacity: int,
        droppable: Callable[[Item], bool] = lambda item: True,
        on_error: Callable[[Exception], None] | None = None,
        niceness: int = 0,
        spare: Callable[[], float] | None = None,
    ) -> None:
        self._handle = handle
        self._capacity = capacity
        self._droppable = droppable
        self._on_error = on_error
        self._niceness = niceness
        self._spare = spare
        self._queue: deque[Item] = deque()
        self._condition = threading.Condition()
        self._stopping = False
        self._working = False
        self.busy_s = 0.0
        self.spare_s = 0.0
        self._started_s = time.perf_counter()
        self.handled = 0
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def busy_share(self) -> float:
        """Share of the time since the first item in which the thread worked, in [0, 1]."""
        return min(1.0, self.busy_s / max(time.perf_counter() - self._started_s, 1e-3))

    def put(self, item: Item) -> Item | None:
        """Queue an item; returns the item that had to go for it, if any. Never blocks."""
        with self._condition:
            self._queue.append(item)
            lost = self._shed()
            self._condition.notify_all()
        return lost

    @property
    def waiting(self) -> int:
        """Droppable items in the queue."""
        with self._condition:
            return sum(map(self._droppable, self._queue))

    def _shed(self) -> Item | None:
        waiting = [i for i, queued in enumerate(self._queue) if self._droppable(queued)]
        if len(waiting) <= self._capacity:
            return None
        lost = self._queue[waiting[0]]
        del self._queue[waiting[0]]
        self.dropped += 1
        return lost

    def drain(self, timeout_s: float = 60.0) -> bool:
        """Wait until everything queued has been handled; False if that took longer than the timeout."""
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
        self._yield_to_others()
        while (item := self._next()) is not None:
            if self.handled == 0:
                self._started_s = time.perf_counter()
            start = time.perf_counter()
            try:
                self._handle(item)
            except Exception as error:
                if self._on_error is None:
                    raise
                self._on_error(error)
            finally:
                self.busy_s += time.perf_counter() - start
                self.handled += 1
                with self._condition:
                    self._working = False
                    self._condition.notify_all()

    def _yield_to_others(self) -> None:
        """Lower this thread's priority (and that of the kernels' threads it starts), where the system has one a thread."""
        if self._niceness and sys.platform == "linux":
            thread = threading.get_native_id()
            niceness = max(os.getpriority(os.PRIO_PROCESS, thread), self._niceness)  # only root may go back up
            os.setpriority(os.PRIO_PROCESS, thread, niceness)

    def _next(self) -> Item | None:
        """Wait for an item, using the time meanwhile; None at the end."""
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
        """Seconds to rest."""
        assert self._spare is not None
        start = time.perf_counter()
        try:
            return self._spare()
        except Exception as error:
            if self._on_error is None:
                raise
            self._on_error(error)
            return 1.0
        finally:
            self.spare_s += time.perf_counter() - start
