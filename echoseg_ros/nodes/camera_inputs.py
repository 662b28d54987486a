"""Camera topics of a node: image, camera_info, depth, points, masks."""

from __future__ import annotations

from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from echoseg_ros.io.decode import decode_camera_info, stamp_ns
from echoseg_ros.io.topics import LATCHED, NODE_INPUTS, STREAM
from echoseg_ros.masks.factory import TOPIC
from echoseg_ros.nodes.convert import depth_data, mask_image, seed_points
from echoseg_ros.nodes.images import ImageDecoder, installed_bridge
from echoseg_ros.nodes.node_base import EchosegBase
from echoseg_ros.pipeline.live import LivePipeline
from echoseg_ros.types import Camera, ImageData

# A node that segments may take its time: its topic counts as silent only after this.
MASKS_SILENT_S = 5.0


def subscribe_to_camera(node: EchosegBase, live: LivePipeline) -> None:
    """Subscribe: messages go into the live pipeline."""
    params, put = node.params, live.put
    decoder = ImageDecoder(installed_bridge())

    def image(message: Image | CompressedImage) -> ImageData:
        return ImageData(stamp_ns(message.header), decoder.rgb(message))

    def camera(message: CameraInfo) -> Camera:
        node.note_camera_frame(message)
        return decode_camera_info(message)

    raw = params.image_transport == "raw"
    topic = NODE_INPUTS.image if raw else f"{NODE_INPUTS.image}/compressed"
    node.inputs["image"] = node.make_input(Image if raw else CompressedImage, topic, STREAM, image, put)
    node.inputs["camera_info"] = node.make_input(CameraInfo, NODE_INPUTS.camera_info, STREAM, camera, put, once=True)
    node.inputs["points"] = node.make_input(
        PointCloud2, NODE_INPUTS.points, LATCHED, seed_points, put, needed=False, once=True
    )
    if params.use_depth:
        raw = params.depth_transport == "raw"
        topic = NODE_INPUTS.depth if raw else f"{NODE_INPUTS.depth}/compressedDepth"
        node.inputs["depth"] = node.make_input(
            Image if raw else CompressedImage, topic, STREAM, depth_data, put, needed=False
        )
    if node.config.masks.backend == TOPIC:
        node.inputs["masks"] = node.make_input(
            Image, NODE_INPUTS.masks, STREAM, mask_image, put, silent_s=MASKS_SILENT_S
        )
