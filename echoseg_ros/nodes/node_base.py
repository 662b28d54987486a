"""What the three nodes share: parameters, inputs, poses, a live pipeline that is told when time goes back, diagnostics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.event_handler import PublisherEventCallbacks
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo
from std_srvs.srv import Trigger

from echoseg_ros.io.topics import NODE_INPUTS, STREAM, TopicQos
from echoseg_ros.nodes.diagnostics import Diagnostics
from echoseg_ros.nodes.inputs import SILENT_S, Input, qos_profile
from echoseg_ros.nodes.parameters import read_parameters
from echoseg_ros.nodes.pose_source import PoseSource, Transforms, make_transforms
from echoseg_ros.nodes.throttle import ThrottledLog
from echoseg_ros.pipeline.live import LivePipeline
from echoseg_ros.types import PoseData


class EchosegBase(Node):
    """A node whose callbacks convert and put messages into a live pipeline."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, **options)
        self.config, self.params = read_parameters(self)
        self.log = ThrottledLog(self.get_logger())
        self.inputs: dict[str, Input] = {}
        self.first_stamp_ns: int | None = None
        self.poses: PoseSource | None = None
        self.transforms: Transforms | None = None
        self.camera_frame = self.params.camera_frame
        self._running: LivePipeline | None = None
        settings = ", ".join(f"{key}={value}" for key, value in self.config.flat().items())
        self.get_logger().info(f"settings: {settings}; {self.params}")

    def chosen_device(self) -> str:
        """Device of the map: "auto" is CUDA where it is available. The one place that asks for it."""
        if self.params.device != "auto":
            return self.params.device
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"

    def start(self, live: LivePipeline) -> None:
        """Start the pipeline's threads and the diagnostics: the node is ready."""
        self._running = live
        live.start()
        self.diagnostics = Diagnostics(self, self.inputs, live.workers, self.log, self.statistics)
        self.get_logger().info("ready")

    def subscribe_to_poses(self, deliver: Callable[[PoseData], Any]) -> None:
        """Subscribe to poses, and to transforms where something needs them."""
        if self.params.pose_source != "pose":
            self.subscribe_to_transforms()
        self.poses = PoseSource(self, self.params, self.transforms, self.make_input, deliver, lambda: self.camera_frame)
        self.inputs.update(self.poses.inputs)

    def subscribe_for_camera_frame(self) -> None:
        """Take the camera's frame from camera_info, in a node that has no other use for it."""
        transforms = self.params.pose_source != "pose" or self.params.array_frame or self.params.microphone_frames
        if transforms and not self.camera_frame:
            self.inputs["camera_info"] = self.make_input(
                CameraInfo, NODE_INPUTS.camera_info, STREAM, self.note_camera_frame, lambda _: None, once=True
            )

    def note_camera_frame(self, message: CameraInfo) -> None:
        """The frame of the camera is that of camera_info, unless a parameter names another."""
        if not self.params.camera_frame:
            self.camera_frame = message.header.frame_id

    def subscribe_to_transforms(self) -> Transforms:
        """Subscribe to /tf and /tf_static, once."""
        if self.transforms is None:
            self.transforms = make_transforms(self, self.make_input)
            self.inputs.update(self.transforms.inputs)
        return self.transforms

    def make_input(
        self,
        message_type: Any,
        topic: str,
        qos: TopicQos,
        decode: Callable[[Any], Any],
        deliver: Callable[[Any], Any],
        needed: bool = True,
        once: bool = False,
        silent_s: float = SILENT_S,
    ) -> Input:
        """Subscribe."""
        return Input(
            self, message_type, topic, qos, decode, self._noting_start(deliver), self.log, self._restart, needed, once,
            silent_s,
        )  # fmt: skip

    def serve(self, name: str, action: Callable[[], str]) -> None:
        """Offer a Trigger service; `action` returns what was done or raises what went wrong."""

        def answer(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            try:
                response.success, response.message = True, action()
            except Exception as error:  # the caller gets the reason, the node goes on
                response.success, response.message = False, f"{error or type(error).__name__}"
                self.get_logger().error(f"{name}: {response.message}")
            return response

        self.create_service(Trigger, name, answer)

    def publisher(self, message_type: Any, topic: str, qos: TopicQos) -> Any:
        """A reliable publisher."""
        # Each event callback costs time for every message that arrives.
        events = PublisherEventCallbacks(use_default_callbacks=False)
        return self.create_publisher(message_type, topic, qos_profile(qos), event_callbacks=events)

    def finish(self) -> None:
        """End the threads. Called once, after the last callback."""
        if self._running is not None:
            self._running.stop()

    def statistics(self) -> dict[str, str]:
        """More figures for the diagnostics."""
        return {}

    def _noting_start(self, deliver: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def note(item: Any) -> None:
            stamp_ns = getattr(item, "stamp_ns", None)
            if stamp_ns is not None and (self.first_stamp_ns is None or stamp_ns < self.first_stamp_ns):
                self.first_stamp_ns = stamp_ns
            deliver(item)

        return note

    def _restart(self, topic: str, newest_ns: int, stamp_ns: int) -> None:
        """On a backward time jump of one topic: rewind everything once."""
        self.log.warn(
            "restart",
            f"{topic}: time goes back from {newest_ns / 1e9:.3f} s to {stamp_ns / 1e9:.3f} s (a bag that loops?); "
            "poses, waiting frames and the audio clock start again, the map stays",
        )
        for topic_input in self.inputs.values():
            topic_input.forget_times()
        if self.poses is not None:
            self.poses.restart()
        if self._running is not None:
            self._running.rewind()
