"""Poses of the camera: from PoseStamped, Odometry, or the transform tree (tf2_ros where it is installed)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time
from tf2_msgs.msg import TFMessage

from echoseg_ros.errors import PoseError
from echoseg_ros.io.decode import decode_pose, stamp_ns
from echoseg_ros.io.topics import AUDIO_STREAM, NODE_INPUTS, TopicQos
from echoseg_ros.io.transform_tree import TransformTree
from echoseg_ros.nodes.inputs import Input
from echoseg_ros.nodes.parameters import NodeParams
from echoseg_ros.types import Float64Array, PoseData

try:
    import tf2_ros
except ImportError:  # no wheel exists; io/transform_tree.py takes its place
    tf2_ros = None

# Period of the look-up on TF: short enough for images at 30 Hz; poses between are interpolated.
_POLL_S = 0.02
_TF_STATIC_QOS = TopicQos(depth=100, latched=True)

MakeInput = Callable[..., Input]


class OwnTransforms:
    """/tf and /tf_static through own subscriptions."""

    def __init__(self, make_input: MakeInput) -> None:
        self._tree = TransformTree()
        self.inputs = {
            "tf": make_input(
                TFMessage, NODE_INPUTS.tf, AUDIO_STREAM, partial(self._take, fixed=False), _nothing, needed=False
            ),
            "tf_static": make_input(
                TFMessage, NODE_INPUTS.tf_static, _TF_STATIC_QOS, partial(self._take, fixed=True), _nothing,
                needed=False, once=True,
            ),
        }  # fmt: skip

    def _take(self, message: TFMessage, fixed: bool) -> None:
        self._tree.add(message, fixed)

    def latest(self, target: str, source: str) -> tuple[int, Float64Array] | None:
        """(stamp_ns, T_target_source) at the newest time for which both are known."""
        return self._tree.latest(target, source)

    def fixed(self, target: str, source: str) -> Float64Array | None:
        """T_target_source of rigidly connected frames."""
        return self._tree.fixed(target, source)

    def at(self, target: str, source: str, at_ns: int) -> Float64Array | None:
        """T_target_source at a time."""
        return self._tree.at(target, source, at_ns)

    def clear(self) -> None:
        """On a backward time jump: forget moving transforms."""
        self._tree.clear_moving()


class Tf2Transforms:
    """tf2_ros' buffer and listener."""

    def __init__(self, node: Node) -> None:
        self.inputs: dict[str, Input] = {}
        self._buffer = tf2_ros.Buffer(cache_time=Duration(seconds=30.0))
        self._listener = tf2_ros.TransformListener(self._buffer, node, spin_thread=False)

    def latest(self, target: str, source: str) -> tuple[int, Float64Array] | None:
        """(stamp_ns, T_target_source) at the newest time for which both are known."""
        found = self._look_up(target, source, Time())
        return None if found is None else (stamp_ns(found.header), decode_pose(found))

    def fixed(self, target: str, source: str) -> Float64Array | None:
        """T_target_source of frames taken to be rigidly connected."""
        found = self._look_up(target, source, Time())
        return None if found is None else decode_pose(found)

    def at(self, target: str, source: str, at_ns: int) -> Float64Array | None:
        """T_target_source at a time."""
        found = self._look_up(target, source, Time(nanoseconds=at_ns))
        return None if found is None else decode_pose(found)

    def clear(self) -> None:
        """On a backward time jump: clear the buffer, which does not always notice it."""
        self._buffer.clear()

    def _look_up(self, target: str, source: str, time: Time) -> Any | None:
        try:
            return self._buffer.lookup_transform(target, source, time)
        except tf2_ros.TransformException:
            return None


Transforms = OwnTransforms | Tf2Transforms


def make_transforms(node: Node, make_input: MakeInput) -> Transforms:
    """Transforms through tf2_ros where it is installed, else through own subscriptions."""
    return OwnTransforms(make_input) if tf2_ros is None else Tf2Transforms(node)


class PoseSource:
    """Delivers T_map_camera with its stamp from the chosen source. `camera_frame()` is '' until it is known."""

    def __init__(
        self,
        node: Node,
        params: NodeParams,
        transforms: Transforms | None,
        make_input: MakeInput,
        deliver: Callable[[PoseData], Any],
        camera_frame: Callable[[], str],
    ) -> None:
        self._node = node
        self._params = params
        self._transforms = transforms
        self._deliver = deliver
        self._camera_frame = camera_frame
        self._newest_ns = -1
        self.inputs: dict[str, Input] = {}
        if params.pose_source == "tf":
            # Wall time: a timer on simulated time would not fire before /clock does.
            node.create_timer(_POLL_S, self._poll, clock=Clock(clock_type=ClockType.STEADY_TIME))
        else:
            kind = PoseStamped if params.pose_source == "pose" else Odometry
            self.inputs["pose"] = make_input(kind, NODE_INPUTS.pose, AUDIO_STREAM, self._decode, deliver)

    def restart(self) -> None:
        """On a backward time jump: forget moving transforms."""
        self._newest_ns = -1
        if self._transforms is not None:
            self._transforms.clear()

    def _decode(self, message: Any) -> PoseData:
        T_map_body = decode_pose(message)
        body, camera = getattr(message, "child_frame_id", ""), self._camera_frame()
        if body and body != camera:
            T_body_camera = self._transforms.fixed(body, camera) if camera and self._transforms else None
            if T_body_camera is None:
                raise PoseError(f"odometry of {body!r}: no transform to the camera's frame {camera!r} yet")
            T_map_body = T_map_body @ T_body_camera
        return PoseData(stamp_ns(message.header), T_map_body)

    def _poll(self) -> None:
        camera = self._camera_frame()
        found = self._transforms.latest(self._params.map_frame, camera) if camera and self._transforms else None
        if found is None:
            return
        # A chain of static transforms has no stamp: the camera stands still.
        at_ns = found[0] or self._node.get_clock().now().nanoseconds
        if at_ns > self._newest_ns:
            self._newest_ns = at_ns
            self._deliver(PoseData(at_ns, found[1]))


def _nothing(_: Any) -> None:
    return None
