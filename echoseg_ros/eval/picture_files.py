"""Pictures that benchmarks write: PNG images and matplotlib figures, each replaced atomically."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from echoseg_ros.errors import FolderError
from echoseg_ros.io.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FIGURE_DPI = 110


def write_png(file: Path, image: NDArray[np.uint8]) -> None:
    """Write an image [H, W] grey or [H, W, 3] RGB. Raises FolderError if the file cannot be written."""
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    with replacing(file) as temporary:
        if not cv2.imwrite(str(temporary), pixels):
            raise FolderError(f"{file}: cannot be written")


def save_figure(file: Path, figure: Figure) -> None:
    """Write a matplotlib figure as PNG and close it."""
    import matplotlib.pyplot as plt  # here: only plots need matplotlib

    with replacing(file) as temporary:
        figure.savefig(temporary, dpi=_FIGURE_DPI)
    plt.close(figure)
