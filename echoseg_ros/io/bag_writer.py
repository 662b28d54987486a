"""`BagWriter` writes bags as a recorder does: mcap, with the quality of service that publishers offer."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Connection, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer

from echoseg_ros.errors import BagError
from echoseg_ros.geometry import quaternion_xyzw
from echoseg_ros.io.decode import ROS_PIXEL_OFFSET_PX, encode_s16le
from echoseg_ros.io.topics import (
    ARRAY_FRAME,
    BAG_QOS,
    BAG_TYPES,
    CAMERA_FRAME,
    MAP_FRAME,
    STREAM,
    TopicNames,
    TopicQos,
)
from echoseg_ros.io.typestore import typestore
from echoseg_ros.types import AudioFormat, Camera, Float64Array, FloatImage, RgbImage

# Start of a simulated recording, ns (14 November 2023): stamps like those of a robot, the same in every run.
BAG_START_NS = 1_700_000_000_000_000_000

# Files in the folder of a bag: settings of the recording as ROS 2 parameters, and its microphone array.
SETTINGS_FILE = "echoseg.yaml"
ARRAY_FILE = "array.yaml"


class BagWriter:
    """Writes a bag folder atomically: it appears when the `with` block succeeds and not if the block fails.

    A bag at the same path is replaced. Raises BagError if anything else is there.
    """

    def __init__(self, path: Path, topics: TopicNames | None = None) -> None:
        self.path = Path(path).absolute()
        self.topics = topics or TopicNames()
        if self.path.exists() and not _is_bag_or_empty(self.path):
            raise BagError(f"{self.path} exists and is not a bag: will not replace it; want another path")
        self._types = typestore().types
        self._connections: dict[str, Connection] = {}
        self._sample_rate_hz = float("inf")

    def __enter__(self) -> BagWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._temporary = Path(tempfile.mkdtemp(prefix=f".{self.path.name}-", dir=self.path.parent))
        # The file in the bag is named after the folder: the temporary folder has the final name.
        self.folder = self._temporary / self.path.name
        self._writer = Writer(self.folder, version=Writer.VERSION_LATEST, storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._writer.__exit__(kind, error, trace)
            if kind is None:
                if self.path.exists():
                    shutil.rmtree(self.path)
                self.folder.rename(self.path)
        finally:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def write(self, topic: str, log_time_ns: int, message: Any, qos: TopicQos | None = None) -> None:
        """Write any rosbags message. topic: field of TopicNames or name of a topic."""
        name = getattr(self.topics, topic, topic)
        if name not in self._connections:
            self._connections[name] = self._writer.add_connection(
                name,
                message.__msgtype__,
                typestore=typestore(),
                offered_qos_profiles=[_offered(qos or BAG_QOS.get(topic, STREAM))],
            )
        data = typestore().serialize_cdr(message, message.__msgtype__)
        self._writer.write(self._connections[name], int(log_time_ns), data)

    def write_file(self, name: str, text: str) -> None:
        """Write a text file into the folder of the bag, such as truth.json."""
        (self.folder / name).write_text(text)

    def write_image(self, stamp_ns: int, rgb: RgbImage) -> None:
        """Write an image [H, W, 3] uint8 as rgb8."""
        self.write("image", stamp_ns, self._image(stamp_ns, rgb, "rgb8"))

    def write_depth(self, stamp_ns: int, depth_m: FloatImage) -> None:
        """Write depth [H, W] in metres as 16UC1 millimetres; not finite or beyond 65.535 m becomes 0 (no reading)."""
        millimetres = np.round(np.nan_to_num(depth_m, nan=0.0, posinf=0.0, neginf=0.0) * 1000.0)
        millimetres = np.where((millimetres >= 0) & (millimetres <= 65535), millimetres, 0)
        self.write("depth", stamp_ns, self._image(stamp_ns, millimetres.astype("<u2"), "16UC1"))

    def write_masks(self, stamp_ns: int, labels: NDArray[np.integer[Any]], log_time_ns: int | None = None) -> None:
        """Write labels [H, W] (-1 = cannot be judged) as 32SC1; stamp_ns: of their image, also the default log time."""
        image = self._image(stamp_ns, np.asarray(labels).astype("<i4"), "32SC1")
        self.write("masks", stamp_ns if log_time_ns is None else log_time_ns, image)

    def write_camera_info(self, stamp_ns: int, camera: Camera) -> None:
        """Write the camera as camera_info without distortion."""
        cx, cy = camera.cx - ROS_PIXEL_OFFSET_PX, camera.cy - ROS_PIXEL_OFFSET_PX
        k = np.array([camera.fx, 0, cx, 0, camera.fy, cy, 0, 0, 1], dtype=float)
        projection = np.column_stack([k.reshape(3, 3), np.zeros(3)]).ravel()
        region = self._new(
            "sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
        )
        info = self._new(
            BAG_TYPES["camera_info"],
            header=self._header(stamp_ns, CAMERA_FRAME),
            height=camera.height,
            width=camera.width,
            distortion_model="plumb_bob",
            d=np.zeros(5),
            k=k,
            r=np.eye(3).ravel(),
            p=projection,
            binning_x=0,
            binning_y=0,
            roi=region,
        )
        self.write("camera_info", stamp_ns, info)

    def write_pose(self, stamp_ns: int, T_map_camera: Float64Array) -> None:
        """Write a pose of the optical frame in the map as PoseStamped."""
        pose = self._new(BAG_TYPES["pose"], header=self._header(stamp_ns, MAP_FRAME), pose=self._pose(T_map_camera))
        self.write("pose", stamp_ns, pose)

    def write_tf(self, stamp_ns: int, T_map_camera: Float64Array) -> None:
        """Write a pose of the camera in the map on /tf."""
        self._write_transform("tf", stamp_ns, MAP_FRAME, CAMERA_FRAME, T_map_camera)

    def write_tf_static(self, stamp_ns: int, T_camera_array: Float64Array) -> None:
        """Write the pose of the array on the camera on /tf_static."""
        self._write_transform("tf_static", stamp_ns, CAMERA_FRAME, ARRAY_FRAME, T_camera_array)

    def write_audio(self, stamp_ns: int, samples: NDArray[np.floating[Any]]) -> None:
        """Write samples [S, M] in [-1, 1] as interleaved S16LE; stamp_ns: of the first sample.

        The log time is that of the last sample, as in a live recording: a replay does not deliver audio too early.
        """
        data = self._new("audio_common_msgs/msg/AudioData", data=encode_s16le(samples))
        header = self._header(stamp_ns, ARRAY_FRAME)
        log_time_ns = stamp_ns + round(len(samples) / self._sample_rate_hz * 1e9)
        self.write("audio", log_time_ns, self._new(BAG_TYPES["audio"], header=header, audio=data))

    def write_audio_info(self, stamp_ns: int, audio_format: AudioFormat) -> None:
        """Write the latched format of the audio, before any audio."""
        self._sample_rate_hz = float(audio_format.sample_rate_hz)
        info = self._new(
            BAG_TYPES["audio_info"],
            channels=audio_format.channels,
            sample_rate=audio_format.sample_rate_hz,
            sample_format=audio_format.sample_format,
            bitrate=0,
            coding_format=audio_format.coding_format,
        )
        self.write("audio_info", stamp_ns, info)

    def write_points(self, stamp_ns: int, points_map: NDArray[np.floating[Any]]) -> None:
        """Write latched points on surfaces [N, 3] in the map as x, y, z."""
        points = np.ascontiguousarray(points_map, dtype="<f4")
        fields = [
            self._new("sensor_msgs/msg/PointField", name=axis, offset=4 * i, datatype=7, count=1)
            for i, axis in enumerate("xyz")
        ]
        cloud = self._new(
            BAG_TYPES["points"],
            header=self._header(stamp_ns, MAP_FRAME),
            height=1,
            width=len(points),
            fields=fields,
            is_bigendian=False,
            point_step=12,
            row_step=12 * len(points),
            data=points.view(np.uint8).ravel(),
            is_dense=True,
        )
        self.write("points", stamp_ns, cloud)

    def write_truth(self, stamp_ns: int, sources: Sequence[Mapping[str, Any]]) -> None:
        """Write the latched true sources: entries of "sources" in truth.json (name, position_m, object)."""
        header = self._header(stamp_ns, MAP_FRAME)
        detections = [self._true_source(header, source) for source in sources]
        self.write("truth", stamp_ns, self._new(BAG_TYPES["truth"], header=header, detections=detections))

    def _true_source(self, header: Any, source: Mapping[str, Any]) -> Any:
        T_map_source = np.eye(4)
        T_map_source[:3, 3] = source["position_m"]
        pose = self._pose(T_map_source)
        hypothesis = self._new(
            "vision_msgs/msg/ObjectHypothesis", class_id=source.get("object") or "elsewhere", score=1.0
        )
        with_covariance = self._new("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=np.zeros(36))
        result = self._new("vision_msgs/msg/ObjectHypothesisWithPose", hypothesis=hypothesis, pose=with_covariance)
        size = self._new("geometry_msgs/msg/Vector3", x=0.1, y=0.1, z=0.1)
        box = self._new("vision_msgs/msg/BoundingBox3D", center=pose, size=size)
        return self._new(
            "vision_msgs/msg/Detection3D", header=header, results=[result], bbox=box, id=str(source["name"])
        )

    def _write_transform(
        self, topic: str, stamp_ns: int, parent: str, child: str, T_parent_child: Float64Array
    ) -> None:
        x, y, z, w = quaternion_xyzw(T_parent_child[:3, :3])
        transform = self._new(
            "geometry_msgs/msg/Transform",
            translation=self._new("geometry_msgs/msg/Vector3", **_xyz(T_parent_child)),
            rotation=self._new("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w),
        )
        header = self._header(stamp_ns, parent)
        stamped = self._new(
            "geometry_msgs/msg/TransformStamped", header=header, child_frame_id=child, transform=transform
        )
        self.write(topic, stamp_ns, self._new(BAG_TYPES["tf"], transforms=[stamped]))

    def _image(self, stamp_ns: int, pixels: NDArray[Any], encoding: str) -> Any:
        pixels = np.ascontiguousarray(pixels)
        return self._new(
            BAG_TYPES["image"],
            header=self._header(stamp_ns, CAMERA_FRAME),
            height=pixels.shape[0],
            width=pixels.shape[1],
            encoding=encoding,
            is_bigendian=0,
            step=pixels.strides[0],
            data=pixels.view(np.uint8).ravel(),
        )

    def _pose(self, T_map_frame: Float64Array) -> Any:
        x, y, z, w = quaternion_xyzw(T_map_frame[:3, :3])
        return self._new(
            "geometry_msgs/msg/Pose",
            position=self._new("geometry_msgs/msg/Point", **_xyz(T_map_frame)),
            orientation=self._new("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w),
        )

    def _header(self, stamp_ns: int, frame: str) -> Any:
        seconds, nanoseconds = divmod(int(stamp_ns), 1_000_000_000)
        time = self._new("builtin_interfaces/msg/Time", sec=seconds, nanosec=nanoseconds)
        return self._new("std_msgs/msg/Header", stamp=time, frame_id=frame)

    def _new(self, message_type: str, **fields: Any) -> Any:
        return self._types[message_type](**fields)


def _xyz(T_a_b: Float64Array) -> dict[str, float]:
    return dict(zip("xyz", map(float, T_a_b[:3, 3]), strict=True))


def _offered(qos: TopicQos) -> Qos:
    """Reliable and keep-last, which matches every subscriber."""
    forever = QosTime(2147483647, 4294967295)
    durability = QosDurability.TRANSIENT_LOCAL if qos.latched else QosDurability.VOLATILE
    return Qos(
        QosHistory.KEEP_LAST,
        qos.depth,
        QosReliability.RELIABLE,
        durability,
        forever,
        forever,
        QosLiveliness.AUTOMATIC,
        forever,
        False,
    )


def _is_bag_or_empty(path: Path) -> bool:
    return path.is_dir() and ((path / "metadata.yaml").exists() or not any(path.iterdir()))
