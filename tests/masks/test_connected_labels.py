"""Components of linked pixels."""

import numpy as np
import pytest
from scipy import ndimage

from echoseg_ros.masks.connected_labels import label_components


@pytest.mark.parametrize("seed", range(5))
def test_with_all_links_components_equal_those_of_scipy(seed: int) -> None:
    mask = np.random.default_rng(seed).random((40, 53)) < 0.55
    links = np.ones_like(mask)
    labels, count = label_components(mask, links, links)
    expected, expected_count = ndimage.label(mask)
    assert count == expected_count
    np.testing.assert_array_equal(labels, expected)


def test_a_missing_link_separates_components() -> None:
    mask = np.ones((4, 6), bool)
    right = np.ones_like(mask)
    right[:, 2] = False
    labels, count = label_components(mask, right, np.ones_like(mask))
    assert count == 2
    assert set(labels[:, :3].ravel()) == {1} and set(labels[:, 3:].ravel()) == {2}
