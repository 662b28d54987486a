"""The keyframes before and after a time."""

from __future__ import annotations

from echoseg_ros.mapping.stamp_interpolation import bracketing_rows


def test_between_outside_and_out_of_order() -> None:
    stamps_ns = [1000, 3000, 0]
    assert bracketing_rows(stamps_ns, 1500) == (0, 1, 0.25)
    assert bracketing_rows(stamps_ns, 250) == (2, 0, 0.25)
    low, high, share = bracketing_rows(stamps_ns, -50)
    assert (low, high) == (2, 2) and share == 0.0
    low, high, share = bracketing_rows(stamps_ns, 9000)
    assert (low, high) == (1, 1) and share == 0.0
    assert bracketing_rows([7], 7) == (0, 0, 0.0)
