"""Camera topics in, the segmented map out; one worker thread owns the map."""

from __future__ import annotations

from typing import Any

from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from vision_msgs.msg import Detection3DArray

from echoseg_ros.io.decode import decode_camera_info
from echoseg_ros.io.topics import LATCHED, NODE_INPUTS, STREAM, OutputNames
from echoseg_ros.nodes.clouds import map_cloud
from echoseg_ros.nodes.convert import depth_data, image_data, mask_image, object_detections, rgb_image, seed_points
from echoseg_ros.nodes.node_base import Call, EchosegBase, Rewind
from echoseg_ros.objects.map_snapshot import EMPTY_SNAPSHOT
from echoseg_ros.objects.object_mask import object_mask
from echoseg_ros.pipeline.map_stage import MapStage
from echoseg_ros.pipeline.worker import Worker
from echoseg_ros.report.draw import object_overlay, resized_mask
from echoseg_ros.types import Camera, CameraFrame, DepthData, ImageData, MapSnapshot, MaskImage, Verdict

# One and a half seconds of a 10 Hz camera with depth: a keyframe may take that long, older frames are of no use.
QUEUE = 30
# On a machine that is short of cores the sound and the messages go first: a map can be late, audio cannot.
MAP_NICENESS = 5
# A node that segments may take its time: its topic is silent only after this.
MASKS_SILENT_S = 5.0


def chosen_device(name: str) -> str:
    """ "auto" is CUDA where it is there. The one place that asks for it, and only when asked to."""
    if name != "auto":
        return name
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


class MapHalf:
    """Subscriptions, thread and publishers of the map. `snapshot` may be read from any thread."""

    def __init__(self, node: EchosegBase, device: str) -> None:
        self._node = node
        self.device = device
        self.images_dropped = 0
        self.masks_dropped = 0
        self._names = OutputNames()
        self.side = self.new_side()
        self.snapshot: MapSnapshot = EMPTY_SNAPSHOT
        self.verdict: Verdict | None = None
        self._map_published_ns: int | None = None
        self.worker = Worker[Any](
            "map", self._handle, QUEUE, _droppable, node.failed("map"), MAP_NICENESS, self._use_spare_time
        )
        node.workers["map"] = self.worker
        node.poses_to.append(self.worker.put)
        self._map = node.publisher(PointCloud2, self._names.map, LATCHED)
        self._objects = node.publisher(Detection3DArray, self._names.objects, LATCHED)
        self._overlay = node.publisher(Image, self._names.overlay, STREAM)

    def new_side(self) -> MapStage:
        """An empty map for live use."""
        side = MapStage(self._node.config, self.device, self._node.params.use_depth)
        side.live = True
        return side

    def listen(self) -> None:
        """Subscribe: from now on images come."""
        node, params, put = self._node, self._node.params, self.worker.put
        raw = params.image_transport == "raw"
        node.inputs["image"] = node.make_input(
            Image if raw else CompressedImage, NODE_INPUTS.image if raw else f"{NODE_INPUTS.image}/compressed",
            STREAM, image_data, self._put_image,
        )  # fmt: skip
        node.inputs["camera_info"] = node.make_input(
            CameraInfo, NODE_INPUTS.camera_info, STREAM, self._camera, put, once=True
        )
        node.inputs["points"] = node.make_input(
            PointCloud2, NODE_INPUTS.points, LATCHED, seed_points, put, needed=False, once=True
        )
        if params.use_depth:
            raw = params.depth_transport == "raw"
            node.inputs["depth"] = node.make_input(
                Image if raw else CompressedImage, NODE_INPUTS.depth if raw else f"{NODE_INPUTS.depth}/compressedDepth",
                STREAM, depth_data, self._put_image, needed=False,
            )  # fmt: skip
        if self.side.sent:
            node.inputs["masks"] = node.make_input(
                Image, NODE_INPUTS.masks, STREAM, mask_image, self._put_image, silent_s=MASKS_SILENT_S
            )

    def _camera(self, message: CameraInfo) -> Camera:
        self._node.note_camera_frame(message)
        return decode_camera_info(message)

    def _put_image(self, item: ImageData | DepthData | MaskImage) -> None:
        lost = self.worker.put(item)
        self.images_dropped += isinstance(lost, ImageData)
        self.masks_dropped += isinstance(lost, MaskImage)

    def _handle(self, item: Any) -> None:
        if isinstance(item, Rewind):
            self.side.rewind()
        elif isinstance(item, Call):
            item.run()
        else:
            for snapshot in self.side.add(item):
                self.show(snapshot)
            while self.side.problems:
                problem = self.side.problems.popleft()
                self._node.log.warn(problem.split(" at ")[0].split(":")[0], problem)

    def _use_spare_time(self) -> float:
        return self.side.use_spare_time()

    def show(self, snapshot: MapSnapshot) -> None:
        """Hand a snapshot to whoever asks, and publish it."""
        self.snapshot = snapshot
        frame = self._node.params.map_frame
        self._objects.publish(object_detections(snapshot.instances, snapshot.stamp_ns, frame))
        if self._map_is_due(snapshot.stamp_ns):
            self._map.publish(map_cloud(snapshot, frame, self._node.config.output.map_points))
        if self._node.config.output.overlay and self._overlay.get_subscription_count() and self.side.last_frame:
            self._publish_overlay(self.side.last_frame, self.verdict)

    def _map_is_due(self, stamp_ns: int) -> bool:
        rate_hz = self._node.config.output.map_rate_hz
        if rate_hz <= 0:
            return False
        last_ns = self._map_published_ns
        if last_ns is not None and 0 <= stamp_ns - last_ns < 1e9 / rate_hz:
            return False
        self._map_published_ns = stamp_ns
        return True

    def _publish_overlay(self, frame: CameraFrame, verdict: Verdict | None) -> None:
        width = self._node.config.map.image_width_px
        camera = frame.camera.resized(width, round(frame.camera.height * width / frame.camera.width))
        rgb = frame.rgb
        for rank, sounding in enumerate(verdict.sounding if verdict else ()):
            mask = object_mask(self.side.mapper, sounding.instance.uids, camera, frame.T_map_camera)
            text = f"{sounding.label or f'object {sounding.instance.id}'} {sounding.probability:.0%}"
            rgb = object_overlay(rgb, resized_mask(mask, frame.camera.width, frame.camera.height), text, rank)
        self._overlay.publish(rgb_image(frame.stamp_ns, self._node.camera_frame, rgb))

    def statistics(self) -> dict[str, str]:
        """For the diagnostics."""
        counts = {f"frames {cause}": str(count) for cause, count in self.side.frames.counts.items()}
        if self.side.sent:
            counts |= {cause: str(count) for cause, count in self.side.sent.counts.items()}
            counts["masks dropped before the map saw them"] = str(self.masks_dropped)
        return {
            **counts,
            "keyframes": str(self.side.keyframes),
            "gaussians": str(self.snapshot.gaussians),
            "instances": str(len(self.snapshot.instances)),
        }


def _droppable(item: Any) -> bool:
    return isinstance(item, ImageData | DepthData | MaskImage)
