"""Publishes a bag over ROS: the stored bytes unchanged, with /clock, once the expected subscribers exist."""

from __future__ import annotations

import importlib
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from echoseg_ros.errors import BagError
from echoseg_ros.io.raw_bag import RawBag
from echoseg_ros.io.stored_message import Damage, StoredMessage
from echoseg_ros.io.topics import LATCHED, TopicNames, TopicQos
from echoseg_ros.nodes.runtime import use_shared_memory_profile

logger = logging.getLogger(__name__)

# Period of /clock.
CLOCK_STEP_S = 0.03
# Messages read ahead of a slow disk.
READ_AHEAD = 64
_QUEUE_DEPTH = 100


@dataclass(frozen=True)
class PlayOptions:
    """How a bag is replayed.

    wait_for: topics of the bag that must have a subscriber before the start; patience_s: longest wait for them, after
    which the replay starts anyway; linger_s: /clock continues this long after the last message.
    """

    rate: float = 1.0
    loop: bool = False
    wait_for: tuple[str, ...] = (TopicNames.image, TopicNames.audio)
    patience_s: float = 60.0
    linger_s: float = 2.0


@dataclass
class Progress:
    """State of a replay.

    position_s, duration_s: seconds of the bag; sent: messages so far; late_s: worst delay of a message.
    """

    position_s: float = 0.0
    duration_s: float = 0.0
    sent: int = 0
    late_s: float = 0.0


def play(
    bag: Path,
    options: PlayOptions | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
    progress: bool = False,
) -> Progress:
    """Replay a bag to its end (repeatedly with `loop`), until `stop` is set, or until SIGINT. Raises BagError.

    `on_progress` is called after every message; `progress` shows a bar in the terminal.
    """
    os.environ.update(use_shared_memory_profile())
    import rclpy
    from rclpy.executors import ExternalShutdownException

    raw = RawBag(Path(bag))
    for damage in raw.damages:
        logger.warning("%s", damage.text)
    context = rclpy.Context()
    rclpy.init(context=context)
    bar = tqdm(total=round((raw.end_ns - raw.start_ns) / 1e9, 1), desc="playing", unit=" s", disable=not progress)

    def report(now: Progress) -> None:
        bar.update(round(now.position_s, 1) - bar.n)
        if on_progress is not None:
            on_progress(now)

    player = _Player(raw, options or PlayOptions(), context, report, stop or threading.Event())
    try:
        return player.run()
    except (KeyboardInterrupt, ExternalShutdownException):
        return player.progress
    finally:
        bar.close()
        player.close()
        rclpy.try_shutdown(context=context)


class _Player:
    def __init__(
        self,
        raw: RawBag,
        options: PlayOptions,
        context: Any,
        on_progress: Callable[[Progress], None],
        stop: threading.Event,
    ) -> None:
        import rclpy
        from rclpy.qos import QoSProfile, ReliabilityPolicy
        from rosgraph_msgs.msg import Clock

        if options.rate <= 0:
            raise BagError(f"rate {options.rate}: want more than 0")
        self._raw, self._options, self._stop = raw, options, stop
        self._on_progress = on_progress
        self.progress = Progress(duration_s=(raw.end_ns - raw.start_ns) / 1e9)
        self._node = rclpy.create_node("echoseg_player", context=context, enable_rosout=False)
        self._clock_type = Clock
        best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._clock = self._node.create_publisher(Clock, "/clock", best_effort)
        self._clock_s = -1.0
        self._publishers = self._make_publishers()

    def run(self) -> Progress:
        self._wait_for_subscribers()
        while True:
            self._play_once()
            if not self._options.loop or self._stopped():
                break
        self._linger()
        return self.progress

    def close(self) -> None:
        self._node.destroy_node()

    def _make_publishers(self) -> dict[str, Any]:
        from echoseg_ros.nodes.inputs import qos_profile

        publishers = {}
        for topic, type_name in self._raw.types.items():
            kind = _message_class(type_name)
            if kind is None:
                logger.warning(
                    "%s: the message package of %s is not installed: this topic is not published", topic, type_name
                )
                continue
            qos = LATCHED if topic in self._raw.latched else TopicQos(_QUEUE_DEPTH)
            publishers[topic] = self._node.create_publisher(kind, topic, qos_profile(qos))
        return publishers

    def _wait_for_subscribers(self) -> None:
        """Wait: a node subscribes when it is ready, and an earlier start would lose the first messages."""
        wanted = [topic for topic in self._options.wait_for if topic in self._publishers]
        deadline = time.monotonic() + self._options.patience_s
        if missing := self._unmatched(wanted):
            logger.info("waiting for a subscriber of %s", ", ".join(missing))
        while (missing := self._unmatched(wanted)) and not self._stopped():
            if time.monotonic() > deadline:
                logger.warning(
                    "no subscriber of %s after %.0f s: the replay starts without",
                    ", ".join(missing),
                    self._options.patience_s,
                )
                return
            self._tick(self._raw.start_ns)
            time.sleep(0.05)

    def _unmatched(self, topics: Collection[str]) -> list[str]:
        return [topic for topic in topics if not self._publishers[topic].get_subscription_count()]

    def _play_once(self) -> None:
        start_s = time.monotonic()
        for message in self._read_ahead():
            if self._stopped():
                return
            at_s = (message.log_time_ns - self._raw.start_ns) / 1e9
            self._wait_until(start_s, at_s)
            publisher = self._publishers.get(message.topic)
            if publisher is not None:
                publisher.publish(message.data)
                self.progress.sent += 1
            late_s = time.monotonic() - start_s - at_s / self._options.rate
            self.progress.position_s, self.progress.late_s = at_s, max(self.progress.late_s, late_s)
            self._on_progress(self.progress)

    def _wait_until(self, start_s: float, at_s: float) -> None:
        """Wait until second `at_s` of the bag; /clock continues."""
        while not self._stopped():
            now_s = (time.monotonic() - start_s) * self._options.rate
            self._tick(self._raw.start_ns + round(min(now_s, at_s) * 1e9))
            if now_s >= at_s:
                return
            time.sleep(min(CLOCK_STEP_S, (at_s - now_s) / self._options.rate))

    def _linger(self) -> None:
        """Continue /clock while nodes work on the last messages."""
        start_s = time.monotonic()
        last_ns = self._raw.end_ns
        while not self._stopped() and (passed_s := time.monotonic() - start_s) < self._options.linger_s:
            self._tick(last_ns + round(passed_s * self._options.rate * 1e9))
            time.sleep(CLOCK_STEP_S)

    def _tick(self, at_ns: int) -> None:
        """Publish /clock, at most once per period."""
        now_s = time.monotonic()
        if now_s - self._clock_s < 0.8 * CLOCK_STEP_S:
            return
        self._clock_s = now_s
        message = self._clock_type()
        message.clock.sec, message.clock.nanosec = divmod(int(at_ns), 1_000_000_000)
        self._clock.publish(message)

    def _stopped(self) -> bool:
        return self._stop.is_set() or not self._node.context.ok()

    def _read_ahead(self) -> Iterator[StoredMessage]:
        """Messages of the bag, read by another thread so that a slow disk does not delay them."""
        waiting: queue.Queue[StoredMessage | None] = queue.Queue(READ_AHEAD)
        done = threading.Event()

        def read() -> None:
            for entry in self._raw.messages():
                if isinstance(entry, Damage):
                    logger.warning("%s", entry.text)
                    continue
                while not done.is_set():
                    try:
                        waiting.put(entry, timeout=0.2)
                        break
                    except queue.Full:
                        continue
                if done.is_set():
                    return
            waiting.put(None)

        threading.Thread(target=read, name="bag", daemon=True).start()
        try:
            while (message := waiting.get()) is not None:
                yield message
        finally:
            done.set()


def _message_class(type_name: str) -> Any | None:
    package, kind, name = type_name.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.{kind}"), name)
    except (ImportError, AttributeError):
        return None
