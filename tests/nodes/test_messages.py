"""Conversion between messages and types, without a ROS graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: make setup, or a ROS installation")
pytest.importorskip("vision_msgs", reason="needs ROS 2: make setup, or a ROS installation")

from nav_msgs.msg import Odometry
from visualization_msgs.msg import Marker, MarkerArray

from echoseg_ros.errors import EchosegError, PoseError
from echoseg_ros.nodes import clouds, convert
from echoseg_ros.nodes.markers import MarkerBoard
from echoseg_ros.nodes.parameters import NodeParams
from echoseg_ros.nodes.pose_source import PoseSource
from echoseg_ros.nodes.runtime import use_shared_memory_profile
from echoseg_ros.types import (
    Box,
    Float64Array,
    Instance,
    MapSnapshot,
    PoseData,
    SoundEvidence,
    SoundingObject,
    SoundSource,
    Verdict,
)

POINTS = np.random.default_rng(0).uniform(0, 1, (50, 3)).astype(np.float32)
BOX = Box(np.array([1.0, 2.0, 0.5]), np.array([0.2, 0.3, 0.4]), np.array([0, 0, np.sin(0.2), np.cos(0.2)]))
MUG = Instance(7, np.arange(50), POINTS, np.full((50, 3), 200, np.uint8), BOX.center_m, BOX, 3, 0.9)


def source(object_id: int | None) -> SoundSource:
    covariance = np.diag([0.01, 0.04, 0.0025])
    candidates = ((object_id, 0.8), (None if object_id is not None else 7, 0.2))
    return SoundSource(1, np.array([1.0, 2.0, 0.6]), covariance, 1.0, object_id, candidates, ())


def verdict(object_id: int | None = 7) -> Verdict:
    heard = source(object_id)
    sounding = (SoundingObject(MUG, heard, 0.8, "mug"),) if object_id is not None else ()
    return Verdict(3_500_000_000, 3_750_000_000, (heard,), sounding)


def kinds(message: MarkerArray) -> set[tuple[str, int, int]]:
    return {(marker.ns, marker.id, marker.action) for marker in message.markers}


def test_markers_are_deleted_when_they_go() -> None:
    board = MarkerBoard("map")
    first = kinds(board.update(verdict()))
    assert {
        ("sounding_box", 7, Marker.ADD),
        ("sounding_points", 7, Marker.ADD),
        ("sounding_label", 7, Marker.ADD),
    } <= first
    assert ("source_covariance", 1, Marker.ADD) in first
    second = kinds(board.update(verdict(None)))
    assert {("sounding_box", 7, Marker.DELETE), ("sounding_edges", 7, Marker.DELETE)} <= second
    assert ("source_label", 1, Marker.ADD) in second
    last = kinds(board.update(Verdict(4, 5)))
    assert {action for _, _, action in last} == {Marker.DELETE}
    assert kinds(board.update(Verdict(5, 6))) == set()


def test_markers_have_lifetime_frame_and_sensor_time() -> None:
    message = MarkerBoard("map").update(verdict())
    for marker in message.markers:
        assert marker.lifetime.sec > 0 and marker.header.frame_id == "map"
        assert (marker.header.stamp.sec, marker.header.stamp.nanosec) == (3, 500_000_000)
        orientation = marker.pose.orientation
        assert np.isclose(np.linalg.norm([orientation.x, orientation.y, orientation.z, orientation.w]), 1)


def test_the_ellipsoid_has_the_covariance_axes() -> None:
    message = MarkerBoard("map").update(verdict())
    scale = next(m.scale for m in message.markers if m.ns == "source_covariance")
    np.testing.assert_allclose(sorted([scale.x, scale.y, scale.z]), 2 * 2.795 * np.array([0.05, 0.1, 0.2]), rtol=1e-6)


def test_sources_carry_covariance_and_class() -> None:
    detection = convert.source_detections(verdict(), "map").detections[0]
    assert [r.hypothesis.class_id for r in detection.results] == ["mug", "elsewhere"]
    np.testing.assert_allclose(
        np.reshape(detection.results[0].pose.covariance, (6, 6))[:3, :3], np.diag([0.01, 0.04, 0.0025])
    )
    free = convert.source_detections(verdict(None), "map").detections[0]
    assert free.results[0].hypothesis.class_id == "elsewhere"


def test_segments_carry_instance_and_probability() -> None:
    snapshot = MapSnapshot(1, (MUG,), POINTS, MUG.rgb, np.full(50, 7, np.int32), 50)
    message = clouds.segments_cloud(snapshot, verdict(), "map", 1000)
    points = np.frombuffer(message.data, clouds.SEGMENT_POINT)
    assert [field.name for field in message.fields] == ["x", "y", "z", "rgb", "instance_id", "probability"]
    np.testing.assert_array_equal(points["x"], POINTS[:, 0])
    assert set(points["instance_id"]) == {7} and np.allclose(points["probability"], 0.8)
    assert points["rgb"].view(np.uint32)[0] == 200 << 16 | 200 << 8 | 200


def test_evidence_survives_the_topic() -> None:
    random = np.random.default_rng(1)
    directions = random.normal(size=(30, 3)).astype(np.float32)
    energy = random.uniform(size=(4, 30)).astype(np.float32)
    evidence = SoundEvidence(2_250_000_000, 0.5, np.eye(4), directions, energy, np.zeros((4, 2)), 0.75, -20.0)
    message = clouds.evidence_cloud(evidence, "array")
    assert [field.name for field in message.fields] == ["x", "y", "z", "energy", "band", "activity"]
    back = clouds.cloud_evidence(message, np.eye(4), 0.5)
    assert back.stamp_ns == evidence.stamp_ns and back.activity == 0.75
    np.testing.assert_array_equal(back.directions_array, directions)
    np.testing.assert_array_equal(back.energy, energy)
    message.fields = message.fields[:4]
    with pytest.raises(EchosegError, match="without float32 field band, activity"):
        clouds.cloud_evidence(message, np.eye(4), 0.5)


def test_the_shared_memory_profile_is_used_unless_the_user_set_one() -> None:
    variables = use_shared_memory_profile({})
    assert set(variables) == {"FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"}
    assert use_shared_memory_profile({"FASTRTPS_DEFAULT_PROFILES_FILE": "/mine.xml"}) == {}


def test_points_come_in_as_seeds() -> None:
    points = np.zeros(50, clouds.MAP_POINT)
    for axis, name in enumerate("xyz"):
        points[name] = POINTS[:, axis]
    seeds = convert.seed_points(clouds.cloud(points, 3_000_000_000, "map"))
    assert seeds.stamp_ns == 3_000_000_000
    np.testing.assert_array_equal(seeds.points_map, POINTS)


class FakeTransforms:
    """Knows one fixed transform."""

    def fixed(self, target: str, source: str) -> Float64Array | None:
        T = np.eye(4)
        T[2, 3] = 1.0
        return T if (target, source) == ("base_link", "camera") else None


def decoded(odometry: Odometry) -> PoseData:
    """Through a pose source whose input is the function that decodes."""
    transforms: Any = FakeTransforms()
    make_input: Any = lambda *arguments: arguments[3]  # noqa: E731
    params = NodeParams(pose_source="odometry")
    node: Any = None
    source = PoseSource(node, params, transforms, make_input, lambda pose: None, lambda: "camera")
    decode: Any = source.inputs["pose"]
    found: PoseData = decode(odometry)
    return found


@pytest.mark.parametrize(("child", "height_m"), [("base_link", 1.5), ("camera", 0.5)])
def test_odometry_is_carried_to_the_camera(child: str, height_m: float) -> None:
    odometry = Odometry(header=convert.header(2_000_000_000, "map"), child_frame_id=child)
    odometry.pose.pose = convert.pose([1, 2, 0.5])
    found = decoded(odometry)
    assert found.stamp_ns == 2_000_000_000
    np.testing.assert_allclose(found.T_map_camera[:3, 3], [1, 2, height_m])


def test_odometry_of_an_unconnected_frame_is_refused() -> None:
    odometry = Odometry(child_frame_id="wheel")
    with pytest.raises(PoseError, match="odometry of 'wheel': no transform to the camera's frame 'camera'"):
        decoded(odometry)


@pytest.mark.parametrize(
    ("class_id", "expected"),
    [("object 3", 3), ("object_3", 3), ("object 12: steady broadband noise", 12), ("elsewhere", None)],
)
def test_the_object_is_read_from_a_class_that_also_says_what_it_sounds_like(
    class_id: str, expected: int | None
) -> None:
    """The demo's recorder took the last word for the number: "noise"."""
    from echoseg_ros.nodes.recorder import object_of_class

    assert object_of_class(class_id) == expected
