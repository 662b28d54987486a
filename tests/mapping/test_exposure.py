"""Exposure of keyframes: the fit of gain and offset, its interpolation, and maps of keyframes with changing exposure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from checkered_room import SMALL, mapped, pose, room_view

from echoseg_ros.mapping.exposure import Exposure, Exposures, fitted_exposure
from echoseg_ros.mapping.mapper import Mapper

UNSEEN = room_view(99, pose(-0.07, 0.45))


@pytest.fixture(scope="module")
def mapper() -> Mapper:
    return mapped()


def mapped_in_turns(*exposures: tuple[float, float]) -> Mapper:
    """A map of keyframes whose exposures (gain, bias) alternate."""
    mapper = Mapper(SMALL)
    for i in range(5):
        frame = room_view(i, pose(-0.3 + 0.15 * i))
        gain, bias = exposures[i % len(exposures)]
        mapper.add_frame(replace(frame, rgb=(frame.rgb * gain + bias).astype(np.uint8)))
        mapper.optimise(15)
    return mapper


def test_automatic_exposure_does_not_disturb_the_map(mapper: Mapper) -> None:
    """Keyframes of alternating exposure give a map in their mean exposure, which predicts views almost as well."""
    other = mapped_in_turns((0.8, 20), (1.0, 0))
    assert other.psnr_db(UNSEEN, compensate_exposure=True) > mapper.psnr_db(UNSEEN, compensate_exposure=True) - 2.0


def test_a_map_without_exposures_per_keyframe_is_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    """With strongly alternating gain and bias."""
    fitted = mapped_in_turns((0.6, 0), (1.0, 30)).psnr_db(UNSEEN, compensate_exposure=True)
    monkeypatch.setattr(Exposures, "fit", lambda self, row, *images: Exposure.neutral())
    neutral = mapped_in_turns((0.6, 0), (1.0, 30)).psnr_db(UNSEEN, compensate_exposure=True)
    assert fitted > neutral + 3.0


def test_exposure_fit_recovers_gain_and_bias() -> None:
    drawn = torch.rand(40, 60, 3, generator=torch.Generator().manual_seed(0))
    exposure, covered = fitted_exposure(drawn, torch.ones(40, 60), drawn * 0.8 + 0.1)
    assert float(covered) == 1.0
    torch.testing.assert_close(exposure.gain, torch.full((3,), 0.8), atol=0.02, rtol=0)
    torch.testing.assert_close(exposure.undo(exposure.apply(drawn)), drawn)
    assert float(fitted_exposure(drawn, torch.zeros(40, 60), drawn)[1]) == 0.0
    assert torch.equal(Exposure.neutral().apply(drawn), drawn)


def test_exposure_between_keyframes() -> None:
    """Exposures are relative to the mean, interpolated between keyframes and constant after the last one."""
    drawn = torch.rand(40, 60, 3, generator=torch.Generator().manual_seed(0))
    exposures = Exposures("cpu")
    for stamp_ns, gain in ((0, 0.8), (1000, 1.25)):
        exposures.add(stamp_ns)
        exposures.fit(len(exposures) - 1, drawn, torch.ones(40, 60), drawn * gain)
    torch.testing.assert_close(exposures.of_keyframe(0).gain, torch.full((3,), 0.8), atol=0.02, rtol=0)
    torch.testing.assert_close(exposures.at_time(500).gain, torch.ones(3), atol=0.02, rtol=0)
    torch.testing.assert_close(exposures.at_time(5000).gain, exposures.of_keyframe(1).gain)
    before = exposures.of_keyframe(1).gain
    exposures.fit(1, drawn, torch.zeros(40, 60), drawn)
    torch.testing.assert_close(exposures.of_keyframe(1).gain, before)
    exposures.remove(0)
    assert len(exposures) == 1 and torch.equal(exposures.at_time(0).gain, torch.ones(3))
