"""The interface of mask backends, and the label of pixels that cannot be judged."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from echoseg_ros.types import CameraFrame, FloatImage, MaskProposal

# Label of pixels that cannot be judged from this view.
UNJUDGED = -1


class MaskBackend(Protocol):
    """Proposes candidate objects in a view."""

    def propose(
        self,
        frame: CameraFrame,
        rendered_depth_m: FloatImage | None = None,
        rendered_alpha: FloatImage | None = None,
    ) -> MaskProposal:
        """The proposals of a view, at the size of `frame.camera`.

        frame: depth at the camera's size; rgb at the camera's size too, or larger for a backend that wants the full
        image; rendered_depth_m, rendered_alpha: [H, W] depth, metres, and opacity of the map seen from the frame's pose,
        None without a map. Raises ImageFormatError if a depth image has another size.
        """
        ...


def unjudged_view(frame: CameraFrame, backend: str) -> MaskProposal:
    """The answer of a backend that needs depth to a frame without any: no proposal, every pixel unjudged."""
    labels = np.full((frame.camera.height, frame.camera.width), UNJUDGED, np.int32)
    return MaskProposal(frame.stamp_ns, labels, np.zeros(0, np.float32), backend)
