"""Transforms of /tf and /tf_static: the pose of a frame along a chain of fixed and moving edges."""

from __future__ import annotations

from typing import Any

import numpy as np

from echoseg_ros.geometry import PoseTrack, inverse
from echoseg_ros.io.decode import decode_pose, stamp_ns
from echoseg_ros.types import Float64Array


class TransformTree:
    """Edges of /tf and /tf_static; each frame has one parent. A stamp that goes back clears the track of its edge."""

    def __init__(self, max_gap_s: float = 0.5) -> None:
        self._max_gap_s = max_gap_s
        self._parents: dict[str, str] = {}
        self._fixed: dict[str, Float64Array] = {}
        self._moving: dict[str, PoseTrack] = {}

    def add(self, message: Any, fixed: bool) -> None:
        """Add the edges of a TFMessage. Raises PoseError at a transform that is not rigid; the edges before it are kept."""
        for edge in message.transforms:
            child, parent = edge.child_frame_id.lstrip("/"), edge.header.frame_id.lstrip("/")
            T_parent_child = decode_pose(edge)
            self._parents[child] = parent
            if fixed:
                self._fixed[child] = T_parent_child
            else:
                self._add_moving(child, stamp_ns(edge.header), T_parent_child)

    def _add_moving(self, child: str, at_ns: int, T_parent_child: Float64Array) -> None:
        self._fixed.pop(child, None)
        track = self._moving.setdefault(child, PoseTrack(self._max_gap_s))
        if track.newest_ns is not None and at_ns < track.newest_ns:
            track.clear()
        track.add(at_ns, T_parent_child)

    def latest(self, target: str, source: str) -> tuple[int, Float64Array] | None:
        """(stamp_ns, T_target_source) at the newest time that all moving edges between the frames cover.

        None if the frames are not connected; the stamp is 0 if all edges are fixed.
        """
        chains = self._chains(target, source)
        if chains is None:
            return None
        tracks = [self._moving[frame] for chain in chains for frame in chain if frame in self._moving]
        at_ns = min((track.newest_ns or 0 for track in tracks), default=0)
        return self._compose(chains, at_ns)

    def at(self, target: str, source: str, at_ns: int) -> Float64Array | None:
        """T_target_source [4, 4] at a time; None if an edge between the frames is unknown at that time."""
        chains = self._chains(target, source)
        composed = None if chains is None else self._compose(chains, at_ns)
        return None if composed is None else composed[1]

    def fixed(self, target: str, source: str) -> Float64Array | None:
        """T_target_source [4, 4] if only fixed edges connect the frames, else None."""
        chains = self._chains(target, source)
        if chains is None or any(frame in self._moving for chain in chains for frame in chain):
            return None
        composed = self._compose(chains, 0)
        return None if composed is None else composed[1]

    def clear_moving(self) -> None:
        """Clear the tracks of all moving edges, as after a backward time jump."""
        for track in self._moving.values():
            track.clear()

    def frames(self) -> list[str]:
        """Names of all frames, for error messages."""
        return sorted(set(self._parents) | set(self._parents.values()))

    def _chains(self, target: str, source: str) -> tuple[list[str], list[str]] | None:
        """Frames whose edges lead from target and from source to their common ancestor; None if there is none."""
        up_target, up_source = self._ancestry(target), self._ancestry(source)
        common = next((frame for frame in up_source if frame in up_target), None)
        if common is None:
            return None
        return up_target[: up_target.index(common)], up_source[: up_source.index(common)]

    def _ancestry(self, frame: str) -> list[str]:
        chain = [frame]
        while chain[-1] in self._parents and self._parents[chain[-1]] not in chain:
            chain.append(self._parents[chain[-1]])
        return chain

    def _compose(self, chains: tuple[list[str], list[str]], at_ns: int) -> tuple[int, Float64Array] | None:
        """(at_ns, T_target_source) along both chains; None if a moving edge has no pose at that time."""
        products = []
        for chain in chains:
            T_common_frame = np.eye(4)
            for frame in chain:
                edge = self._fixed[frame] if frame in self._fixed else self._moving[frame].at(at_ns)
                if edge is None:
                    return None
                T_common_frame = edge @ T_common_frame
            products.append(T_common_frame)
        return at_ns, inverse(products[0]) @ products[1]
