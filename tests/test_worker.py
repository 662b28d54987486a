"""The bounded queue: order, drops, errors."""

from __future__ import annotations

import threading

from echoseg_ros.worker import Worker


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
    errors: list[Exception] = []
    seen: list[int] = []

    def handle(item: int) -> None:
        if item == 1:
            raise ValueError("one")
        seen.append(item)

    worker = Worker[int]("test", handle, capacity=10, on_error=errors.append)
    worker.start()
    for item in range(3):
        worker.put(item)
    assert worker.drain(10)
    worker.stop()
    assert seen == [0, 2] and [str(error) for error in errors] == ["one"]
