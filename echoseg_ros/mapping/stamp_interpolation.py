"""Interpolation between the keyframes before and after a time."""

from __future__ import annotations

import bisect
from collections.abc import Sequence


def bracketing_rows(stamps_ns: Sequence[int], stamp_ns: int) -> tuple[int, int, float]:
    """(row before, row after, share of the row after in [0, 1]) of a stamp among the rows' stamps, in any order.

    Outside the range of the stamps both rows are the nearest one. stamps_ns must not be empty.
    """
    # Not sorted where a recording starts again: new keyframes then have older stamps.
    order = sorted(range(len(stamps_ns)), key=stamps_ns.__getitem__)
    after = bisect.bisect_left(order, stamp_ns, key=stamps_ns.__getitem__)
    low, high = order[max(after - 1, 0)], order[min(after, len(order) - 1)]
    span = stamps_ns[high] - stamps_ns[low]
    share = min(max((stamp_ns - stamps_ns[low]) / span, 0.0), 1.0) if span else 0.0
    return low, high, share
