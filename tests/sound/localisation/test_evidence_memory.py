"""Bounds of the evidence memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from waves import cube, evidence_along, path

from echoseg_ros.sound.localisation.evidence_memory import MAX_WINDOWS, EvidenceMemory


def test_the_number_of_windows_is_bounded() -> None:
    evidence = evidence_along(cube(), path(1), [np.array([3.2, 3.4, 0.8])], 0)[0]
    memory = EvidenceMemory(3600.0)
    for k in range(1500):
        memory.add(replace(evidence, stamp_ns=k * 250_000_000))
    assert len(memory.slots()) == MAX_WINDOWS == 600
