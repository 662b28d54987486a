"""The bounded queue: order, drops, errors; what is done while nothing waits."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from echoseg_ros.pipeline import worker as worker_module
from echoseg_ros.pipeline.worker import Worker

# Longer than any test.
RESTING_S = 3600.0


def test_keeps_order_and_what_must_not_go() -> None:
    gate, seen = threading.Event(), []

    def handle(item: int) -> None:
        gate.wait(10)
        seen.append(item)

    worker = Worker[int]("test", handle, capacity=2, droppable=lambda item: item > 0)
    for item in (0, 1, 2, 3, 0, 4):
        worker.put(item)
    worker.start()
    gate.set()
    assert worker.drain(10)
    worker.stop()
    assert seen == [0, 3, 0, 4]
    assert worker.dropped == 2


def test_an_error_is_reported_and_the_next_item_handled() -> None:
    errors: list[tuple[object, Exception]] = []
    seen: list[int] = []

    def handle(item: int) -> None:
        if item == 1:
            raise ValueError("one")
        seen.append(item)

    worker = Worker[int]("test", handle, capacity=10, on_error=lambda item, error: errors.append((item, error)))
    worker.start()
    for item in range(3):
        worker.put(item)
    assert worker.drain(10)
    worker.stop()
    assert seen == [0, 2] and [(item, str(error)) for item, error in errors] == [(1, "one")]


def test_spare_time_is_used_only_while_nothing_waits() -> None:
    events: list[int | str] = []
    rested = threading.Event()

    def spare() -> float:
        events.append("spare")
        rested.set()
        return RESTING_S

    worker = Worker[int]("test", events.append, capacity=10, spare=spare)
    for item in range(3):
        worker.put(item)
    worker.start()
    assert rested.wait(10)
    worker.stop()
    assert events == [0, 1, 2, "spare"]


def test_spare_work_goes_on_until_an_item_comes() -> None:
    """Without a rest between, too: the item is handled next, and spare work goes on after it."""
    events: list[int | str] = []
    thrice, again = threading.Event(), threading.Event()

    def spare() -> float:
        events.append("spare")
        if events.count("spare") == 3:
            thrice.set()
            worker.put(1)
        if 1 in events:
            again.set()
            return RESTING_S
        return 0.0

    worker = Worker[int]("test", events.append, capacity=10, spare=spare)
    worker.start()
    assert thrice.wait(10) and again.wait(10)
    worker.stop()
    assert events == ["spare", "spare", "spare", 1, "spare"]


def test_an_item_ends_the_rest_at_once() -> None:
    rested = threading.Event()
    seen: list[int] = []

    def spare() -> float:
        rested.set()
        return RESTING_S

    worker = Worker[int]("test", seen.append, capacity=10, spare=spare)
    worker.start()
    assert rested.wait(10)
    worker.put(7)
    assert worker.drain(10)
    worker.stop()
    assert seen == [7]


def test_stopping_ends_the_rest_at_once() -> None:
    rested = threading.Event()

    def spare() -> float:
        rested.set()
        return RESTING_S

    worker = Worker[int]("test", lambda item: None, capacity=10, spare=spare)
    worker.start()
    assert rested.wait(10)
    worker.stop(10)
    assert not worker._thread.is_alive()


def test_spare_time_is_not_busy_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that only work moves: 5 s of spare work, then an item of 2 s."""
    now_s = 0.0
    monkeypatch.setattr(worker_module, "time", SimpleNamespace(perf_counter=lambda: now_s))
    calls: list[object] = []
    rested = threading.Event()

    def work(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    def spare() -> float:
        if not calls:
            work(5.0)
        calls.append(now_s)
        rested.set()
        return RESTING_S

    worker = Worker[int]("test", lambda item: work(2.0), capacity=10, spare=spare)
    worker.start()
    assert rested.wait(10)
    worker.put(1)
    assert worker.drain(10)
    worker.stop()
    assert worker.spare_s == 5.0 and worker.busy_s == 2.0 and worker.handled == 1


def test_an_error_in_spare_time_is_reported_and_the_thread_lives() -> None:
    errors: list[tuple[object, Exception]] = []
    seen: list[int] = []
    reported = threading.Event()

    def spare() -> float:
        raise ValueError("spare")

    def on_error(item: int | None, error: Exception) -> None:
        errors.append((item, error))
        reported.set()

    worker = Worker[int]("test", seen.append, capacity=10, on_error=on_error, spare=spare)
    worker.start()
    assert reported.wait(10)
    worker.put(1)
    assert worker.drain(10)
    assert worker._thread.is_alive()
    worker.stop()
    assert seen == [1] and {(item, str(error)) for item, error in errors} == {(None, "spare")}
