import dataclasses
import shutil
from pathlib import Path

import bag_maker as maker
import numpy as np
import pytest
from rosbags.rosbag2 import Reader, StoragePlugin, Writer

from echoseg_ros.errors import AudioFormatError, BagError
from echoseg_ros.io.bag import BagReader, Problem
from echoseg_ros.io.bag_writer import BagWriter
from echoseg_ros.io.topics import TopicNames
from echoseg_ros.io.typestore import typestore
from echoseg_ros.types import AudioChunk, AudioFormat, Camera, DepthData, ImageData, PoseData


@pytest.fixture(scope="module")
def bag(tmp_path_factory) -> Path:
    return maker.write_bag(tmp_path_factory.mktemp("bags") / "short")


@pytest.fixture
def copy(bag, tmp_path) -> Path:
    return Path(shutil.copytree(bag, tmp_path / "copy"))


def of(kind, items):
    return [item for item in items if isinstance(item, kind)]


def test_everything_comes_back(bag):
    reader = BagReader(bag)
    items = list(reader.messages())
    assert not of(Problem, items)
    assert reader.camera == items[0] == maker.CAMERA
    assert reader.audio_format == items[1] == maker.AUDIO
    assert reader.start_ns == maker.START_NS
    assert reader.duration_s == pytest.approx(0.1 * maker.FRAMES, abs=1e-6), "until the last sample was taken"
    assert reader.truth_path == bag / "truth.json"
    np.testing.assert_allclose(reader.T_camera_array, maker.T_CAMERA_ARRAY, atol=1e-12)
    images, depths, poses, chunks = (of(kind, items) for kind in (ImageData, DepthData, PoseData, AudioChunk))
    assert len(images) == len(depths) == len(poses) == len(chunks) == maker.FRAMES
    assert len(of(Camera, items)) == len(of(AudioFormat, items)) == 1
    for i in (0, 7, maker.FRAMES - 1):
        at_ns = maker.START_NS + i * 100_000_000
        assert images[i].stamp_ns == depths[i].stamp_ns == poses[i].stamp_ns == chunks[i].stamp_ns == at_ns
        np.testing.assert_array_equal(images[i].rgb, maker.rgb(i))
        np.testing.assert_allclose(depths[i].depth_m, maker.depth_m(i), atol=5e-4)
        np.testing.assert_allclose(poses[i].T_map_camera, maker.pose(i), atol=1e-12)
        np.testing.assert_allclose(chunks[i].samples, maker.audio(i), atol=2**-15)


def test_written_qos_is_latched_where_late_joiners_need_it(bag):
    assert BagReader(bag).latched == {"/tf_static", "/audio/audio_info", "/ground_truth/sources"}
    with Reader(bag) as reader:
        profiles = {c.topic: c.ext.offered_qos_profiles for c in reader.connections}
    assert all(len(profile) == 1 and profile[0].reliability.name == "RELIABLE" for profile in profiles.values())


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), BagWriter(tmp_path / "bag") as writer:
        writer.write_pose(1, np.eye(4))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_bag_is_not_replaced(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BagError, match="will not replace"):
        BagWriter(tmp_path)


def test_poses_from_tf_are_those_of_the_pose_topic(bag):
    poses = of(PoseData, BagReader(bag, TopicNames(pose="/tf")).messages())
    assert [p.stamp_ns for p in poses] == [p.stamp_ns for p in of(PoseData, BagReader(bag).messages())]
    np.testing.assert_allclose(poses[5].T_map_camera, maker.pose(5), atol=1e-12)


def test_missing_topic_names_it_and_what_is_there(bag):
    with pytest.raises(
        BagError, match=r"no topic /left/image; it holds .*/camera/image_raw \(sensor_msgs/msg/Image\)"
    ) as e:
        BagReader(bag, TopicNames(image="/left/image"))
    assert "\n" not in str(e.value)


def test_wrong_type_is_named(bag):
    with pytest.raises(BagError, match="/camera/pose is a geometry_msgs/msg/PoseStamped, want sensor_msgs/msg/Image"):
        BagReader(bag, TopicNames(image="/camera/pose"))


def test_no_bag_at_all(tmp_path):
    with pytest.raises(BagError, match="no such file"):
        BagReader(tmp_path / "nothing")
    with pytest.raises(BagError, match=r"no metadata.yaml and no \.mcap or \.db3"):
        BagReader(tmp_path)


def test_missing_metadata_is_reported_and_the_file_is_read(copy):
    (copy / "metadata.yaml").unlink()
    items = list(BagReader(copy).messages())
    assert ["metadata.yaml is missing" in p.text for p in of(Problem, items)] == [True]
    assert len(of(ImageData, items)) == maker.FRAMES


def test_spoilt_metadata_is_reported_and_the_file_is_read(copy):
    (copy / "metadata.yaml").write_text("rosbag2_bagfile_information: [1, 2")
    items = list(BagReader(copy).messages())
    assert len(of(Problem, items)) == 1
    assert len(of(ImageData, items)) == maker.FRAMES


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_a_truncated_bag_gives_what_is_there(copy, share):
    file = next(copy.glob("*.mcap"))
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    items = list(BagReader(copy).messages())
    images = of(ImageData, items)
    assert share * maker.FRAMES - 3 <= len(images) <= maker.FRAMES
    np.testing.assert_array_equal(images[-1].rgb, maker.rgb(len(images) - 1))
    assert any("ends in the middle of a record" in p.text for p in of(Problem, items))


def test_a_truncated_compressed_bag_gives_what_is_there(bag, tmp_path):
    path = rewritten(bag, tmp_path / "zstd", StoragePlugin.MCAP, compress=True)
    file = next(path.glob("*.mcap"))
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * 0.6)])
    items = list(BagReader(path).messages())
    assert 8 <= len(of(ImageData, items)) <= 12
    assert of(Problem, items)


def test_an_unfinished_bag_is_read_in_sequence(copy):
    """A killed recorder leaves chunks without an index and no metadata.yaml."""
    (copy / "metadata.yaml").unlink()
    file = next(copy.glob("*.mcap"))
    data = file.read_bytes()
    file.write_bytes(data[: len(data) - 2000])
    items = list(BagReader(copy).messages())
    assert len(of(ImageData, items)) == maker.FRAMES
    assert of(Problem, items)


def test_a_damaged_message_is_skipped(copy):
    """The lengths inside one image are overwritten; the rest of the bag is whole."""
    file = next(copy.glob("*.mcap"))
    data = bytearray(file.read_bytes())
    at = data.index(b"rgb8", len(data) // 2)
    data[at - 4 : at] = b"\xff\xff\xff\x7f"
    file.write_bytes(bytes(data))
    items = list(BagReader(copy).messages())
    assert len(of(ImageData, items)) == maker.FRAMES - 1
    assert [p.topic for p in of(Problem, items)] == ["/camera/image_raw"]
    assert len(of(AudioChunk, items)) == maker.FRAMES


def test_a_damaged_chunk_does_not_end_the_reading(tmp_path, bag):
    path = rewritten(bag, tmp_path / "lz", StoragePlugin.MCAP, compress=True, rounds=6)
    file = next(path.glob("*.mcap"))
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4000] = bytes(4000)
    file.write_bytes(bytes(data))
    items = list(BagReader(path).messages())
    problems = of(Problem, items)
    assert problems and "damaged" in problems[0].text
    stamps = [i.stamp_ns for i in of(PoseData, items)]
    assert 20 <= len(stamps) < 6 * maker.FRAMES
    assert len(stamps) == len(set(stamps)), "nothing comes twice"
    assert max(stamps) == max_stamp(rounds=6)


def test_sqlite3_bags_are_read(bag, tmp_path):
    path = rewritten(bag, tmp_path / "db", StoragePlugin.SQLITE3)
    assert len(of(ImageData, BagReader(path).messages())) == maker.FRAMES


def test_a_damaged_sqlite3_bag_does_not_raise_while_reading(bag, tmp_path):
    path = rewritten(bag, tmp_path / "db", StoragePlugin.SQLITE3)
    file = next(path.glob("*.db3"))
    reader = BagReader(path)
    data = bytearray(file.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    file.write_bytes(bytes(data))
    items = list(reader.messages())
    assert of(Problem, items)


def test_mp3_is_refused(tmp_path):
    with BagWriter(tmp_path / "mp3") as bag:
        bag.write_audio_info(1, dataclasses.replace(maker.AUDIO, coding_format="mp3"))
        bag.write_camera_info(1, maker.CAMERA)
        bag.write_image(1, maker.rgb(0))
        bag.write_pose(1, np.eye(4))
        bag.write_audio(1, maker.audio(0))
    with pytest.raises(AudioFormatError, match="coding_format mp3 has no phase: set format to wave"):
        BagReader(tmp_path / "mp3")


def test_compressed_images_are_found_by_their_suffix(tmp_path):
    import cv2

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
    np.testing.assert_array_equal(of(ImageData, reader.messages())[0].rgb, stripes)


def test_raw_messages_pass_every_topic(bag):
    reader = BagReader(bag)
    seen = [(topic, stamp) for topic, _, stamp, data in reader.raw_messages() if len(data) > 4]
    assert len(seen) == 6 * maker.FRAMES + 3
    assert [stamp for _, stamp in seen] == sorted(stamp for _, stamp in seen)


def max_stamp(rounds: int) -> int:
    return maker.START_NS + (rounds * maker.FRAMES - 1) * 100_000_000


def rewritten(bag: Path, path: Path, plugin: StoragePlugin, compress: bool = False, rounds: int = 1) -> Path:
    """The same messages in another storage; with rounds > 1 several times in a row, restamped."""
    from rosbags.rosbag2 import CompressionFormat, CompressionMode

    writer = Writer(path, version=9, storage_plugin=plugin)
    if compress:
        writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    store = typestore()
    with Reader(bag) as reader, writer:
        connections = {}
        for i in range(rounds):
            for connection, stamp, data in reader.messages():
                if connection.topic not in connections:
                    added = writer.add_connection(connection.topic, connection.msgtype, typestore=store)
                    connections[connection.topic] = added
                shift = i * maker.FRAMES * 100_000_000
                message = store.deserialize_cdr(data, connection.msgtype)
                if shift and hasattr(message, "header"):
                    total = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec + shift
                    message.header.stamp.sec, message.header.stamp.nanosec = divmod(total, 10**9)
                    data = store.serialize_cdr(message, connection.msgtype)
                writer.write(connections[connection.topic], stamp + shift, data)
    return path


def test_odometry_of_the_base_becomes_the_camera_pose(tmp_path):
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
    (found,) = of(PoseData, reader.messages())
    np.testing.assert_allclose(found.T_map_camera, maker.pose(3) @ T_base_camera, atol=1e-12)
