"""The interface of mask backends, and the label of pixels that cannot be judged."""

from __future__ import annotations

from typing import Protocol

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
