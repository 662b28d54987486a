"""Comparison of rasterizers: an inexact rasterizer is found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from echoseg_ros.mapping.rasterizers.conventions import Rendered
from echoseg_ros.mapping.rasterizers.numba.backend import NumbaRasterizer
from gpu_check.correctness import Comparison, compare, largest
from gpu_check.report import correctness_table
from gpu_check.scenes import DENSE_SCENES


def test_an_inexact_rasterizer_is_found() -> None:
    """Images that are brighter by 0.2 % exceed the limits of colours and gradients, and the table says so."""

    class Wrong(NumbaRasterizer):
        def render(self, *arguments: object) -> Rendered:
            drawn = super().render(*arguments)  # type: ignore[arg-type]
            return replace(drawn, rgb=drawn.rgb * 1.002)

    comparisons = compare(Wrong(), "cpu", DENSE_SCENES[2:3])
    over = {comparison.what for comparison in comparisons if not comparison.passed}
    assert "forward rgb" in over and "gradient of rgb to means" in over and "forward alpha" not in over
    assert largest(comparisons, "gradient") == pytest.approx(0.002, rel=0.05)
    assert "OVER" in correctness_table(comparisons)
    nan = float("nan")
    assert not Comparison("", "", "", nan, nan, nan, 1.0).passed
