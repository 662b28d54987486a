"""/diagnostics: which inputs arrive, why others do not, and what the workers cost and dropped."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSCompatibility, qos_check_compatible

from echoseg_ros.io.topics import STREAM, OutputNames
from echoseg_ros.nodes.inputs import Input, qos_profile
from echoseg_ros.nodes.throttle import ThrottledLog
from echoseg_ros.pipeline.worker import Worker

# Period of the messages: a silent topic is named within two seconds.
PERIOD_S = 0.5
# Largest plausible difference between a topic's stamps and this node's clock.
STAMP_OFF_S = 5.0

_OK, _WARN, _ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


class Diagnostics:
    """Publishes the status of a node and of its inputs every half second; a silent topic is also logged.

    inputs: by name, may grow; workers: of the running pipeline; statistics: more figures by name.
    """

    def __init__(
        self,
        node: Node,
        inputs: Mapping[str, Input],
        workers: Mapping[str, Worker[Any]],
        log: ThrottledLog,
        statistics: Callable[[], dict[str, str]],
    ) -> None:
        self._node = node
        self._inputs = inputs
        self._workers = workers
        self._log = log
        self._statistics = statistics
        self._publisher = node.create_publisher(DiagnosticArray, OutputNames().diagnostics, qos_profile(STREAM))
        # Wall time: a timer on simulated time would not fire where /clock is what is missing.
        node.create_timer(PERIOD_S, self.publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def publish(self) -> None:
        """One message with a status for each input and one for the node."""
        try:
            self._publish()
        except Exception:
            if self._node.context.ok():  # else the node is being shut down meanwhile
                raise

    def _publish(self) -> None:
        statuses = [self._input_status(name, topic) for name, topic in self._inputs.items()]
        message = DiagnosticArray(status=[self._node_status(), *statuses])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)

    def _node_status(self) -> DiagnosticStatus:
        values = {}
        for name, worker in self._workers.items():
            values[f"{name} busy_s"] = f"{worker.busy_s:.2f}"
            values[f"{name} spare_s"] = f"{worker.spare_s:.2f}"
            values[f"{name} handled"] = str(worker.handled)
            values[f"{name} dropped"] = str(worker.dropped)
        values.update({f"problem: {cause}": str(count) for cause, count in self._log.counts.items()})
        values.update(self._statistics())
        dropped = sum(worker.dropped for worker in self._workers.values())
        text = "running" if not dropped else f"running; {dropped} messages dropped because the work takes longer"
        return self._status(self._node.get_name(), _OK if not dropped else _WARN, text, values)

    def _input_status(self, name: str, topic: Input) -> DiagnosticStatus:
        level, text = self._judge(topic)
        if level != _OK:
            self._log.warn(f"{topic.topic} silent", f"{topic.topic}: {text}")
        values = {"topic": topic.topic, "received": str(topic.received), "bad": str(topic.bad)}
        if topic.last_problem:
            values["last problem"] = topic.last_problem
        if topic.newest_ns is not None:
            values["newest stamp"] = f"{topic.newest_ns / 1e9:.3f} s"
        return self._status(f"{self._node.get_name()}: {name}", level, text, values)

    def _status(self, name: str, level: bytes, text: str, values: dict[str, str]) -> DiagnosticStatus:
        pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
        return DiagnosticStatus(level=level, name=name, message=text, hardware_id="echoseg_ros", values=pairs)

    def _judge(self, topic: Input) -> tuple[bytes, str]:
        silent = topic.age_s > topic.silent_s and not (topic.once and topic.received)
        if silent and not topic.needed and not topic.received:
            return _OK, "optional, nothing arrives"
        if silent:
            return _ERROR if topic.needed else _WARN, f"silent for {topic.age_s:.1f} s: {self._cause(topic)}"
        if topic.only_bad:
            return _ERROR, f"no message can be used: {topic.last_problem}"
        off = self._stamps_off(topic)
        if off:
            return _WARN, off
        if not topic.received:
            return _OK, "waiting"
        return _OK, "receiving" if not topic.bad else f"receiving; {topic.bad} messages skipped ({topic.last_problem})"

    def _cause(self, topic: Input) -> str:
        """Why nothing comes, as far as the graph tells."""
        if self._node.get_parameter("use_sim_time").value and not self._node.count_publishers("/clock"):
            clock = "; use_sim_time is set but nobody publishes /clock"
        else:
            clock = ""
        publishers = self._node.get_publishers_info_by_topic(topic.topic)
        if not publishers:
            return f"no publisher{self._similar(topic)}{clock}"
        kinds = {info.topic_type for info in publishers}
        if topic.type_name not in kinds:
            return f"published as {', '.join(sorted(kinds))}, want {topic.type_name}{clock}"
        refused = [reason for info in publishers if (reason := _incompatible(info.qos_profile, topic))]
        if refused:
            return f"incompatible QoS ({refused[0]}){clock}"
        if topic.once and topic.qos.latched and not topic.latched:
            return f"the publisher does not latch it (durability volatile) and sent it before this node listened{clock}"
        return f"{publishers[0].node_name} publishes it but sends nothing{clock}"

    def _similar(self, topic: Input) -> str:
        """Published topics of the same type, best the one with the nearest name."""
        others = [
            name
            for name, kinds in self._node.get_topic_names_and_types()
            if topic.type_name in kinds and name != topic.topic and self._published_by_others(name)
        ]
        if not others:
            return " of that name, nor another topic of its type"
        key = topic.topic.strip("/").replace("/", " ")
        best = max(
            others, key=lambda name: difflib.SequenceMatcher(None, name.strip("/").replace("/", " "), key).ratio()
        )
        return f"; {best} has the same type: remap {topic.topic}:={best}?"

    def _published_by_others(self, topic: str) -> bool:
        own = (self._node.get_name(), self._node.get_namespace())
        publishers = self._node.get_publishers_info_by_topic(topic)
        return any((info.node_name, info.node_namespace) != own for info in publishers)

    def _stamps_off(self, topic: Input) -> str:
        """Stamps that are zero, or far from this node's clock."""
        if topic.newest_ns is None:
            return ""
        now_ns = self._node.get_clock().now().nanoseconds
        off_s = (now_ns - topic.newest_ns) / 1e9
        if now_ns == 0 or abs(off_s) <= STAMP_OFF_S + topic.age_s:
            return ""
        if topic.newest_ns == 0:
            return "stamps are zero: the driver must fill header.stamp"
        hint = "is use_sim_time set right?" if abs(off_s) > 86400 else "are the machines' clocks in step?"
        return f"stamps are {abs(off_s):.1f} s {'behind' if off_s > 0 else 'ahead of'} this node's clock: {hint}"


def _incompatible(offered: Any, topic: Input) -> str:
    compatibility, reason = qos_check_compatible(offered, topic.profile)
    return reason if compatibility == QoSCompatibility.ERROR else ""
