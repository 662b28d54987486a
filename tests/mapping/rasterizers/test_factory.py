"""Rasterizers by name: which backend runs where, and the messages where it cannot."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from echoseg_ros.errors import BackendError
from echoseg_ros.mapping.rasterizers.factory import make_rasterizer
from echoseg_ros.mapping.rasterizers.numba.backend import NumbaRasterizer


def raising(function: Callable[[], object]) -> str:
    with pytest.raises(BackendError) as caught:
        function()
    return str(caught.value)


def test_errors_name_the_reason_and_the_alternative() -> None:
    assert "want auto, numba" in raising(lambda: make_rasterizer("opengl"))
    assert "use gsplat" in raising(lambda: make_rasterizer("numba", "cuda"))
    assert "needs a CUDA device" in raising(lambda: make_rasterizer("gsplat", "cpu"))
    assert isinstance(make_rasterizer("auto", "cpu"), NumbaRasterizer)
