"""Subscriptions that count messages, skip broken ones, and adapt to the publisher's quality of service."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy

from echoseg_ros.io.topics import TopicQos
from echoseg_ros.nodes.throttle import ThrottledLog
from echoseg_ros.types import BACKWARD_JUMP_NS

# A topic counts as silent after this time without a message, unless it is known to be slower.
SILENT_S = 1.0
# After this time with invalid messages only, earlier valid ones no longer count.
ONLY_BAD_S = 1.0


def qos_profile(qos: TopicQos, reliable: bool = True, latched: bool | None = None) -> QoSProfile:
    """The quality of service as rclpy's type."""
    latched = qos.latched if latched is None else latched
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=qos.depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


class Input:
    """One subscribed topic: `decode(message)` makes an item (None: nothing to deliver), `deliver(item)` queues it.

    Requests reliable delivery (and latched, where the topic is); when a publisher offers less, it subscribes again with
    the offered quality and logs that. `on_restart` is called before an item after a backward time jump is delivered.
    """

    def __init__(
        self,
        node: Node,
        message_type: Any,
        topic: str,
        qos: TopicQos,
        decode: Callable[[Any], Any],
        deliver: Callable[[Any], Any],
        log: ThrottledLog,
        on_restart: Callable[[str, int, int], None] | None = None,
        needed: bool = True,
        once: bool = False,
        silent_s: float = SILENT_S,
    ) -> None:
        self._node = node
        self.message_type = message_type
        self.qos = qos
        self.needed = needed
        self.once = once
        self.silent_s = silent_s
        self._decode = decode
        self._deliver = deliver
        self._log = log
        self._on_restart = on_restart
        self.started_s = time.monotonic()
        self.received = 0
        self.bad = 0
        self.last_problem = ""
        self.newest_ns: int | None = None
        self.arrived_s: float | None = None
        self.good_s: float | None = None
        self.reliable, self.latched = True, qos.latched
        self._subscription: Any = self._subscribe(topic)
        self.topic = str(self._subscription.topic_name)

    @property
    def type_name(self) -> str:
        """Type name in the ROS graph: package/msg/Name."""
        package, kind = self.message_type.__module__.split(".")[:2]
        return f"{package}/{kind}/{self.message_type.__name__}"

    @property
    def profile(self) -> QoSProfile:
        """The requested quality of service."""
        return qos_profile(self.qos, self.reliable, self.latched)

    @property
    def age_s(self) -> float:
        """Seconds since the last message, or since the subscription without any."""
        return time.monotonic() - (self.started_s if self.arrived_s is None else self.arrived_s)

    @property
    def only_bad(self) -> bool:
        """Whether all messages of the last second were invalid."""
        if not self.bad or self.arrived_s is None:
            return False
        return self.good_s is None or self.arrived_s - self.good_s > ONLY_BAD_S

    def forget_times(self) -> None:
        """Accept any next stamp."""
        self.newest_ns = None

    def _subscribe(self, topic: str) -> Any:
        events = SubscriptionEventCallbacks(incompatible_qos=self._incompatible, use_default_callbacks=False)
        return self._node.create_subscription(
            self.message_type, topic, self._receive, self.profile, event_callbacks=events
        )

    def _incompatible(self, event: Any) -> None:
        """Subscribe again with what the publisher offers."""
        if event.last_policy_kind == QoSPolicyKind.RELIABILITY and self.reliable:
            self.reliable, offer = False, "best effort"
        elif event.last_policy_kind == QoSPolicyKind.DURABILITY and self.latched:
            self.latched, offer = False, "no latched messages (durability volatile)"
        else:
            return
        self._node.get_logger().info(f"{self.topic}: the publisher offers {offer}; subscribed again accordingly")
        old = self._subscription
        self._subscription = self._subscribe(self.topic)
        self._node.destroy_subscription(old)

    def _receive(self, message: Any) -> None:
        self.received += 1
        self.arrived_s = time.monotonic()
        try:
            item = self._decode(message)
            if item is not None:
                self._check_time(getattr(item, "stamp_ns", None))
                self._deliver(item)
            self.good_s = self.arrived_s
        except Exception as error:  # an unforeseen field must not end the node
            self.skip(error)

    def skip(self, error: Exception) -> None:
        """Count an invalid message and log its cause."""
        self.bad += 1
        self.last_problem = f"{error or type(error).__name__}"
        self._log.warn(f"{self.topic} {type(error).__name__}", f"{self.topic}: {self.last_problem} (message skipped)")

    def _check_time(self, stamp_ns: int | None) -> None:
        if stamp_ns is None:
            return
        newest_ns = self.newest_ns
        if newest_ns is not None and stamp_ns < newest_ns - BACKWARD_JUMP_NS and self._on_restart:
            self._on_restart(self.topic, newest_ns, stamp_ns)
        self.newest_ns = stamp_ns if self.newest_ns is None else max(self.newest_ns, stamp_ns)
