"""Foreign fields of a loaded map file."""

from __future__ import annotations

import numpy as np

from echoseg_ros.mapping.map_copy import ForeignFields


def test_no_foreign_fields_without_a_loaded_map() -> None:
    assert ForeignFields().of_uids(np.arange(3)) == {}
