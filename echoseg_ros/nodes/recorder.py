"""Subscribes to the outputs of a node and keeps what a report needs: timeline, latencies, counts of messages."""

from __future__ import annotations

import re
import threading
from collections import Counter
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image, PointCloud2
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection3DArray
from visualization_msgs.msg import MarkerArray

from echoseg_ros.errors import EchosegError
from echoseg_ros.io.decode import stamp_ns
from echoseg_ros.io.topics import LATCHED, STREAM, OutputNames
from echoseg_ros.nodes.inputs import qos_profile
from echoseg_ros.nodes.runtime import until_shutdown
from echoseg_ros.pipeline.timeline import Timeline, TimelineEntry, TimelineSource


class Recorder:
    """Subscribes in a thread of its own, in its own context; `stop` ends it.

    window_s: length of the node's audio windows; verdicts are stamped with the centre of their window.
    """

    def __init__(self, window_s: float) -> None:
        self._half_window_ns = int(window_s * 5e8)
        self.timeline = Timeline()
        self.latencies_ms: list[float] = []
        self.received: Counter[str] = Counter()
        self.sounding_ids: list[int] = []
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        sim_time = Parameter("use_sim_time", Parameter.Type.BOOL, True)
        self._node = Node("echoseg_recorder", context=self._context, parameter_overrides=[sim_time])
        self._save = self._node.create_client(Trigger, "save_map")
        self._subscribe()
        self._thread = threading.Thread(target=self._spin, name="recorder", daemon=True)
        self._thread.start()

    def _subscribe(self) -> None:
        names = OutputNames()
        outputs: list[tuple[Any, str, Any, Any]] = [
            (MarkerArray, names.markers, LATCHED, self._markers),
            (Detection3DArray, names.sounding, LATCHED, self._sounding),
            (Detection3DArray, names.sources, LATCHED, self._sources),
            (Detection3DArray, names.objects, LATCHED, None),
            (PointCloud2, names.segments, LATCHED, None),
            (PointCloud2, names.map, LATCHED, None),
            (Image, names.overlay, STREAM, None),
        ]
        for kind, topic, qos, handle in outputs:
            self._node.create_subscription(kind, topic, self._counted(topic, handle), qos_profile(qos))

    def _counted(self, topic: str, handle: Any) -> Any:
        def receive(message: Any) -> None:
            self.received[topic] += 1
            if handle is not None:
                handle(message)

        return receive

    def _markers(self, message: MarkerArray) -> None:
        if message.markers:
            end_ns = stamp_ns(message.markers[-1].header) + self._half_window_ns
            self.latencies_ms.append((self._node.get_clock().now().nanoseconds - end_ns) / 1e6)

    def _sounding(self, message: Detection3DArray) -> None:
        self.sounding_ids = [int(detection.id) for detection in message.detections]

    def _sources(self, message: Detection3DArray) -> None:
        sources = []
        for detection in message.detections:
            position = detection.bbox.center.position
            best = detection.results[0].hypothesis
            object_id = object_of_class(best.class_id)
            place = (position.x, position.y, position.z)
            sources.append(TimelineSource(int(detection.id), place, object_id, float(best.score), 0.0))
        self.timeline.entries.append(TimelineEntry(stamp_ns(message.header) + self._half_window_ns, tuple(sources)))

    def _spin(self) -> None:
        executor = SingleThreadedExecutor(context=self._context)
        executor.add_node(self._node)
        with until_shutdown(self._context):
            executor.spin()

    def save_map(self, timeout_s: float) -> str:
        """Call save_map; returns the answer's message. Raises EchosegError without a positive answer."""
        if not self._save.wait_for_service(timeout_s):
            raise EchosegError(f"the node offers no service save_map after {timeout_s:.0f} s")
        future = self._save.call_async(Trigger.Request())
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        if not done.wait(timeout_s):
            raise EchosegError(f"save_map: no answer after {timeout_s:.0f} s")
        answer = future.result()
        if answer is None or not answer.success:
            raise EchosegError(f"save_map: {answer.message if answer else 'failed'}")
        return str(answer.message)

    def stop(self) -> None:
        """End the subscriptions."""
        rclpy.try_shutdown(context=self._context)
        self._thread.join(10.0)
        self._node.destroy_node()


def object_of_class(class_id: str) -> int | None:
    """The number in "object 3" or "object 3: steady noise"; None for elsewhere."""
    found = re.match(r"object[ _](\d+)", class_id)
    return int(found.group(1)) if found else None
