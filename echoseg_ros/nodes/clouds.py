"""PointCloud2 messages: the map, the segments and the evidence out, evidence of sound_nodes in."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2, PointField

from echoseg_ros.errors import EchosegError
from echoseg_ros.io.decode import stamp_ns
from echoseg_ros.nodes.convert import header
from echoseg_ros.types import Float64Array, MapSnapshot, SoundEvidence, Verdict

_FIELD_TYPES = {"f4": PointField.FLOAT32, "u4": PointField.UINT32}

MAP_POINT = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<f4")])
SEGMENT_POINT = np.dtype([*MAP_POINT.descr, ("instance_id", "<u4"), ("probability", "<f4")])
EVIDENCE_FIELDS = ("x", "y", "z", "energy", "band", "activity")
EVIDENCE_POINT = np.dtype([(name, "<f4") for name in EVIDENCE_FIELDS])


def cloud(points: NDArray[Any], at_ns: int, frame: str) -> PointCloud2:
    """A PointCloud2 of a structured array [N]."""
    kind = points.dtype
    fields = [
        PointField(name=name, offset=_offset(kind, name), datatype=_FIELD_TYPES[kind[name].str[1:]], count=1)
        for name in kind.names or ()
    ]
    message = PointCloud2(
        header=header(at_ns, frame),
        height=1,
        width=len(points),
        fields=fields,
        is_bigendian=False,
        point_step=kind.itemsize,
        row_step=kind.itemsize * len(points),
        is_dense=True,
    )
    message.data = array.array("B", points.tobytes())
    return message


def map_cloud(snapshot: MapSnapshot, frame: str, max_points: int) -> PointCloud2:
    """The coloured surface, evenly thinned to at most `max_points` points."""
    keep = slice(None, None, -(-len(snapshot.surface_points) // max_points) or 1)
    points = np.zeros(len(snapshot.surface_points[keep]), MAP_POINT)
    _fill(points, snapshot.surface_points[keep], snapshot.surface_rgb[keep])
    return cloud(points, snapshot.stamp_ns, frame)


def segments_cloud(snapshot: MapSnapshot, verdict: Verdict | None, frame: str, max_points: int) -> PointCloud2:
    """Points of all instances: colour, instance id, and probability that the instance sounds."""
    total = sum(len(instance.points_map) for instance in snapshot.instances)
    every = max(1, -(-total // max_points))
    parts = []
    probabilities = sounding_probabilities(verdict)
    for instance in snapshot.instances:
        part = np.zeros(len(instance.points_map[::every]), SEGMENT_POINT)
        _fill(part, instance.points_map[::every], instance.rgb[::every])
        part["instance_id"] = instance.id
        part["probability"] = probabilities.get(instance.id, 0.0)
        parts.append(part)
    points = np.concatenate(parts) if parts else np.zeros(0, SEGMENT_POINT)
    return cloud(points, snapshot.stamp_ns, frame)


def sounding_probabilities(verdict: Verdict | None) -> dict[int, float]:
    """By instance id, the probability that at least one source is in the instance."""
    silence: dict[int, float] = {}
    for source in verdict.sources if verdict else ():
        for instance_id, probability in source.candidates:
            if instance_id is not None:
                silence[instance_id] = silence.get(instance_id, 1.0) * (1.0 - probability)
    return {instance_id: 1.0 - q for instance_id, q in silence.items()}


def evidence_cloud(evidence: SoundEvidence, frame: str) -> PointCloud2:
    """One point per direction and band, band by band; `band` counts from 0, the lowest."""
    bands, directions = evidence.energy.shape
    points = np.zeros((bands, directions), EVIDENCE_POINT)
    for axis, name in enumerate("xyz"):
        points[name] = evidence.directions_array[:, axis]
    points["energy"] = evidence.energy
    points["band"] = np.arange(bands)[:, None]
    points["activity"] = evidence.activity
    return cloud(points.ravel(), evidence.stamp_ns, frame)


def cloud_evidence(message: PointCloud2, T_map_array: Float64Array, duration_s: float) -> SoundEvidence:
    """The evidence of a cloud made by `evidence_cloud`. Limits of the bands and level are not in the cloud: they are NaN.

    Raises EchosegError for any other cloud.
    """
    points = _points(message)
    bands = int(points["band"].max()) + 1 if len(points) else 0
    if bands < 1 or len(points) % bands or not all(np.isfinite(points[name]).all() for name in EVIDENCE_FIELDS):
        raise EchosegError(f"evidence of {len(points)} points in {bands} bands: want the same directions in each")
    points = points.reshape(bands, -1)
    return SoundEvidence(
        stamp_ns=stamp_ns(message.header),
        duration_s=duration_s,
        T_map_array=T_map_array,
        directions_array=np.stack([points[0][name] for name in "xyz"], axis=1),
        energy=np.ascontiguousarray(points["energy"]),
        bands_hz=np.full((bands, 2), np.nan),
        activity=float(points["activity"][0, 0]),
        level_db=float("nan"),
    )


def _points(message: PointCloud2) -> NDArray[Any]:
    offsets = {field.name: field.offset for field in message.fields if field.datatype == PointField.FLOAT32}
    missing = [name for name in EVIDENCE_FIELDS if name not in offsets]
    if missing:
        raise EchosegError(f"evidence cloud without float32 field {', '.join(missing)}")
    kind = np.dtype(
        {
            "names": list(EVIDENCE_FIELDS),
            "formats": ["<f4"] * len(EVIDENCE_FIELDS),
            "offsets": [offsets[name] for name in EVIDENCE_FIELDS],
            "itemsize": message.point_step,
        }
    )
    expected = message.point_step * message.width * message.height
    if len(message.data) < expected:
        raise EchosegError(f"evidence cloud holds {len(message.data)} bytes: want {expected} by its size")
    return np.frombuffer(message.data, kind, message.width * message.height)


def _offset(kind: np.dtype[Any], name: str) -> int:
    assert kind.fields is not None  # a structured type
    return int(kind.fields[name][1])


def _fill(points: NDArray[Any], xyz: NDArray[np.float32], rgb: NDArray[np.uint8]) -> None:
    for axis, name in enumerate("xyz"):
        points[name] = xyz[:, axis]
    red, green, blue = (rgb[:, i].astype(np.uint32) for i in range(3))
    points["rgb"] = ((red << 16) | (green << 8) | blue).view(np.float32)
