"""Conversion between ROS messages and the package's types: headers, poses, images, detections."""

from __future__ import annotations

import array
from collections.abc import Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, PoseWithCovariance, Quaternion, Transform, TransformStamped, Vector3
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import BoundingBox3D, Detection3D, Detection3DArray, ObjectHypothesis, ObjectHypothesisWithPose

from echoseg_ros.geometry import quaternion_xyzw
from echoseg_ros.io.decode import decode_depth, decode_masks, decode_points, stamp_ns
from echoseg_ros.types import (
    Box,
    DepthData,
    Float64Array,
    Instance,
    MaskImage,
    RgbImage,
    SeedPoints,
    SoundingObject,
    SoundSource,
    Verdict,
)

ELSEWHERE = "elsewhere"
# Half size of a source's box in standard deviations.
_BOX_SIGMAS = 2.0


def depth_data(message: Any) -> DepthData:
    """Depth of an Image or CompressedImage. Raises ImageFormatError."""
    return DepthData(stamp_ns(message.header), decode_depth(message))


def mask_image(message: Any) -> MaskImage:
    """Masks of an Image of labels. Raises ImageFormatError."""
    return MaskImage(stamp_ns(message.header), decode_masks(message))


def seed_points(message: Any) -> SeedPoints:
    """Points of a PointCloud2 in the map frame. Raises CloudFormatError."""
    return SeedPoints(stamp_ns(message.header), decode_points(message))


def header(at_ns: int, frame: str) -> Header:
    """A header with stamp and frame."""
    seconds, nanoseconds = divmod(int(at_ns), 1_000_000_000)
    return Header(stamp=Time(sec=seconds, nanosec=nanoseconds), frame_id=frame)


def point(position_m: Sequence[float] | Float64Array) -> Point:
    """Of [3]."""
    x, y, z = (float(value) for value in position_m)
    return Point(x=x, y=y, z=z)


def vector(values: Sequence[float] | Float64Array) -> Vector3:
    """Of [3]."""
    x, y, z = (float(value) for value in values)
    return Vector3(x=x, y=y, z=z)


def quaternion(values_xyzw: Sequence[float] | Float64Array) -> Quaternion:
    """A Quaternion of [4] in the order x, y, z, w."""
    x, y, z, w = (float(value) for value in values_xyzw)
    return Quaternion(x=x, y=y, z=z, w=w)


def pose(
    position_m: Sequence[float] | Float64Array, orientation_xyzw: Sequence[float] | Float64Array = (0, 0, 0, 1)
) -> Pose:
    """A Pose of position [3] and orientation [4]."""
    return Pose(position=point(position_m), orientation=quaternion(orientation_xyzw))


def transform_stamped(at_ns: int, parent: str, child: str, T_parent_child: Float64Array) -> TransformStamped:
    """A transform for /tf."""
    rotation = quaternion(quaternion_xyzw(T_parent_child[:3, :3]))
    transform = Transform(translation=vector(T_parent_child[:3, 3]), rotation=rotation)
    return TransformStamped(header=header(at_ns, parent), child_frame_id=child, transform=transform)


def rgb_image(at_ns: int, frame: str, rgb: RgbImage) -> Image:
    """An rgb8 Image of [H, W, 3] uint8."""
    height, width = rgb.shape[:2]
    message = Image(header=header(at_ns, frame), height=height, width=width, encoding="rgb8", step=3 * width)
    # rclpy takes an array.array as it is; bytes cost twice as much, a numpy array hundreds of times as much.
    message.data = array.array("B", np.ascontiguousarray(rgb).tobytes())
    return message


def object_class(instance_id: int | None, label: str = "") -> str:
    """Class name of an instance: its label where there is one, else its number; "elsewhere" for None."""
    if instance_id is None:
        return ELSEWHERE
    return label or f"object_{instance_id}"


def sounding_detections(verdict: Verdict, frame: str) -> Detection3DArray:
    """The sounding objects, each with its box, probability and the source's position covariance."""
    head = header(verdict.stamp_ns, frame)
    return Detection3DArray(header=head, detections=[_sounding(head, sounding) for sounding in verdict.sounding])


def object_detections(instances: Sequence[Instance], at_ns: int, frame: str) -> Detection3DArray:
    """Every instance of the map."""
    head = header(at_ns, frame)
    return Detection3DArray(header=head, detections=[_instance(head, instance) for instance in instances])


def source_detections(verdict: Verdict, frame: str) -> Detection3DArray:
    """The sources: position with covariance; the first class is that of the source's object, or "elsewhere"."""
    head = header(verdict.stamp_ns, frame)
    labels = {sounding.instance.id: sounding.label for sounding in verdict.sounding}
    return Detection3DArray(header=head, detections=[_source(head, source, labels) for source in verdict.sources])


def _sounding(head: Header, sounding: SoundingObject) -> Detection3D:
    instance, source = sounding.instance, sounding.source
    name = object_class(instance.id, sounding.label)
    result = _hypothesis(name, sounding.probability, source.position_m, source.covariance_m2)
    return Detection3D(header=head, results=[result], bbox=_box(instance.box), id=str(instance.id))


def _instance(head: Header, instance: Instance) -> Detection3D:
    result = _hypothesis(object_class(instance.id), instance.confidence, instance.position_m, None)
    return Detection3D(header=head, results=[result], bbox=_box(instance.box), id=str(instance.id))


def _source(head: Header, source: SoundSource, labels: dict[int, str]) -> Detection3D:
    # The assigned class first, the others by rank.
    candidates = sorted(source.candidates, key=lambda candidate: candidate[0] != source.object_id)
    if not candidates or candidates[0][0] != source.object_id:
        candidates.insert(0, (source.object_id, 0.0))
    results = [
        _hypothesis(
            object_class(i, labels.get(i, "") if i is not None else ""), p, source.position_m, source.covariance_m2
        )
        for i, p in candidates
    ]
    size_m = 2 * _BOX_SIGMAS * np.sqrt(np.diag(source.covariance_m2))
    box = BoundingBox3D(center=pose(source.position_m), size=vector(size_m))
    return Detection3D(header=head, results=results, bbox=box, id=str(source.id))


def _hypothesis(
    name: str, score: float, position_m: Float64Array, covariance_m2: Float64Array | None
) -> ObjectHypothesisWithPose:
    covariance = np.zeros((6, 6))
    if covariance_m2 is not None:
        covariance[:3, :3] = covariance_m2
    placed = PoseWithCovariance(pose=pose(position_m), covariance=covariance.ravel())
    return ObjectHypothesisWithPose(hypothesis=ObjectHypothesis(class_id=name, score=float(score)), pose=placed)


def _box(box: Box) -> BoundingBox3D:
    return BoundingBox3D(center=pose(box.center_m, box.quaternion_xyzw), size=vector(box.size_m))
