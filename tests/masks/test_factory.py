import dataclasses

import pytest

from echoseg_ros.config import MaskConfig
from echoseg_ros.errors import BackendError
from echoseg_ros.masks.auto_masks import AutoMasks
from echoseg_ros.masks.factory import make_masks


def test_default_backend_goes_by_where_depth_comes_from():
    assert isinstance(make_masks(MaskConfig()), AutoMasks)


def test_unknown_backend_is_named_with_the_known_ones():
    with pytest.raises(BackendError, match="'magic'.*geometric"):
        make_masks(dataclasses.replace(MaskConfig(), backend="magic"))
