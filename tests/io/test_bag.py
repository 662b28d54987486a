"""Reading of bags: messages become the types that the nodes produce."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import bag_maker as maker
import cv2
import numpy as np
import pytest
from bag_maker import items_of

from echoseg_ros.errors import AudioFormatError, BagError
from echoseg_ros.io.bag import BagReader, Problem
from echoseg_ros.io.bag_writer import BagWriter
from echoseg_ros.io.topics import TopicNames
from echoseg_ros.io.typestore import typestore
from echoseg_ros.types import AudioChunk, AudioFormat, Camera, DepthData, ImageData, PoseData


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return maker.write_bag(tmp_path_factory.mktemp("bags") / "short")


def test_all_written_messages_are_read(bag: Path) -> None:
    reader = BagReader(bag)
    items = list(reader.messages())
    assert not items_of(Problem, items)
    assert reader.camera == items[0] == maker.CAMERA
    assert reader.audio_format == items[1] == maker.AUDIO
    assert reader.start_ns == maker.START_NS
    assert reader.duration_s == pytest.approx(0.1 * maker.FRAMES, abs=1e-6), "until the last sample was taken"
    assert reader.T_camera_array is not None
    np.testing.assert_allclose(reader.T_camera_array, maker.T_CAMERA_ARRAY, atol=1e-12)
    images, depths = items_of(ImageData, items), items_of(DepthData, items)
    poses, chunks = items_of(PoseData, items), items_of(AudioChunk, items)
    assert len(images) == len(depths) == len(poses) == len(chunks) == maker.FRAMES
    assert len(items_of(Camera, items)) == len(items_of(AudioFormat, items)) == 1
    for i in (0, 7, maker.FRAMES - 1):
        at_ns = maker.START_NS + i * 100_000_000
        assert images[i].stamp_ns == depths[i].stamp_ns == poses[i].stamp_ns == chunks[i].stamp_ns == at_ns
        np.testing.assert_array_equal(images[i].rgb, maker.rgb(i))
        np.testing.assert_allclose(depths[i].depth_m, maker.depth_m(i), atol=5e-4)
        np.testing.assert_allclose(poses[i].T_map_camera, maker.pose(i), atol=1e-12)
        np.testing.assert_allclose(chunks[i].samples, maker.audio(i), atol=2**-15)


def test_poses_from_tf_are_those_of_the_pose_topic(bag: Path) -> None:
    poses = items_of(PoseData, BagReader(bag, TopicNames(pose="/tf")).messages())
    assert [p.stamp_ns for p in poses] == [p.stamp_ns for p in items_of(PoseData, BagReader(bag).messages())]
    np.testing.assert_allclose(poses[5].T_map_camera, maker.pose(5), atol=1e-12)


def test_a_missing_topic_is_named_with_the_topics_of_the_bag(bag: Path) -> None:
    with pytest.raises(
        BagError, match=r"no topic /left/image; it holds .*/camera/image_raw \(sensor_msgs/msg/Image\)"
    ) as e:
        BagReader(bag, TopicNames(image="/left/image"))
    assert "\n" not in str(e.value)


def test_wrong_type_is_named(bag: Path) -> None:
    with pytest.raises(BagError, match="/camera/pose is a geometry_msgs/msg/PoseStamped, want sensor_msgs/msg/Image"):
        BagReader(bag, TopicNames(image="/camera/pose"))


def test_mp3_is_refused(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "mp3") as bag:
        bag.write_audio_info(1, dataclasses.replace(maker.AUDIO, coding_format="mp3"))
        bag.write_camera_info(1, maker.CAMERA)
        bag.write_image(1, maker.rgb(0))
        bag.write_pose(1, np.eye(4))
        bag.write_audio(1, maker.audio(0))
    with pytest.raises(AudioFormatError, match="coding_format mp3 has no phase: set format to wave"):
        BagReader(tmp_path / "mp3")


def test_compressed_images_are_found_by_their_suffix(tmp_path: Path) -> None:
    stripes = np.kron(np.arange(6, dtype=np.uint8).reshape(1, 6, 1) * 40, np.ones((48, 8, 3), np.uint8))
    new = typestore().types
    with BagWriter(tmp_path / "c") as bag:
        bag.write_camera_info(1, dataclasses.replace(maker.CAMERA, width=48))
        bag.write_pose(1, np.eye(4))
        header = bag._header(1, "camera_optical_frame")
        data = cv2.imencode(".png", stripes[..., ::-1])[1]
        message = new["sensor_msgs/msg/CompressedImage"](header=header, format="png", data=data)
        bag.write("/camera/image_raw/compressed", 1, message)
    reader = BagReader(tmp_path / "c", require=("image", "camera_info", "pose"))
    np.testing.assert_array_equal(items_of(ImageData, reader.messages())[0].rgb, stripes)


def test_raw_messages_have_every_topic(bag: Path) -> None:
    reader = BagReader(bag)
    seen = [(topic, stamp) for topic, _, stamp, data in reader.raw_messages() if len(data) > 4]
    assert len(seen) == 6 * maker.FRAMES + 3
    assert [stamp for _, stamp in seen] == sorted(stamp for _, stamp in seen)


def test_odometry_of_the_base_becomes_the_camera_pose(tmp_path: Path) -> None:
    """Odometry says where base_link is; /tf_static says where the camera sits on it."""
    new = typestore().types
    T_base_camera = np.eye(4)
    T_base_camera[:3, 3] = [0.2, 0.0, 1.0]
    with BagWriter(tmp_path / "odom") as bag:
        bag.write_camera_info(1, maker.CAMERA)
        bag.write_image(1, maker.rgb(0))
        bag._write_transform("tf_static", 1, "base_link", "camera_optical_frame", T_base_camera)
        zero = new["geometry_msgs/msg/Vector3"](x=0.0, y=0.0, z=0.0)
        twist = new["geometry_msgs/msg/Twist"](linear=zero, angular=zero)
        message = new["nav_msgs/msg/Odometry"](
            header=bag._header(5, "map"),
            child_frame_id="base_link",
            pose=new["geometry_msgs/msg/PoseWithCovariance"](pose=bag._pose(maker.pose(3)), covariance=np.zeros(36)),
            twist=new["geometry_msgs/msg/TwistWithCovariance"](twist=twist, covariance=np.zeros(36)),
        )
        bag.write("/odom", 5, message)
    reader = BagReader(tmp_path / "odom", TopicNames(pose="/odom"), require=("image", "camera_info", "pose"))
    (found,) = items_of(PoseData, reader.messages())
    np.testing.assert_allclose(found.T_map_camera, maker.pose(3) @ T_base_camera, atol=1e-12)
