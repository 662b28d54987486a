"""Splitting of instances that votes merged although they are spatially separated."""

from __future__ import annotations

import numpy as np
from instance_scene import A, B, InstanceScene, members

from echoseg_ros.types import Instance


def two_separate_boxes(scene: InstanceScene) -> tuple[list[int], list[int], tuple[Instance, ...]]:
    """Two boxes of 40 Gaussians, half a metre apart, that views have joined, and the instances found."""
    scene.means[list(B), 0] += 0.5
    first, second = list(A), list(B)
    for _ in range(3):
        found = scene.add_view([*first, *second])
    return first, second, found


def test_a_spatially_separated_part_becomes_an_instance() -> None:
    first, second, found = two_separate_boxes(InstanceScene())
    assert [members(instance) for instance in found] == [set(first), set(second)]


def test_split_instances_stay_two_when_views_join_them() -> None:
    """Regression: a proposal over two objects that overlap in a view gave both objects' Gaussians to one instance."""
    scene = InstanceScene()
    first, second, found = two_separate_boxes(scene)
    for _ in range(6):
        again = scene.add_view([*first, *second])
    assert [members(instance) for instance in again] == [set(first), set(second)]
    assert [instance.id for instance in again] == [instance.id for instance in found]


def test_near_parts_of_one_object_are_not_split() -> None:
    scene = InstanceScene()
    scene.means[list(B), 0] += 0.05
    for _ in range(3):
        found = scene.add_view([*A, *B])
    assert [members(instance) for instance in found] == [{*A, *B}]


def test_split_instances_are_joined_when_their_gap_closes() -> None:
    """An object whose middle is occluded at first: once the middle is visible, its halves become one instance."""
    scene = InstanceScene()
    first, second, middle = list(A), list(B), list(range(80, 140))
    scene.means[second, 0] += 0.3
    scene.means[middle, 0] = np.linspace(scene.means[39, 0], scene.means[40, 0], 60)
    for _ in range(3):
        found = scene.add_view([*first, *second], judged=[*first, *second])
    assert len(found) == 2
    for _ in range(8):
        found = scene.add_view([*first, *middle, *second])
    assert [members(instance) for instance in found] == [{*first, *middle, *second}]
