"""Mask backend `network`: a small network that groups pixels by colour, depth and normals; weights are included."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from echoseg_ros.config import MaskConfig
from echoseg_ros.mapping.keyframes import reduced_depth, reduced_rgb
from echoseg_ros.masks.network.model import MULTIPLE_PX, OFFSET_UNIT_PX
from echoseg_ros.masks.network.network_input import network_input
from echoseg_ros.masks.network.vote_clustering import cluster_votes, resized_labels, without_background_pixels
from echoseg_ros.masks.network.weights import WEIGHTS_FILE, load_weights
from echoseg_ros.masks.protocol import UNJUDGED, unjudged_view
from echoseg_ros.masks.surface import available_depth, make_surface
from echoseg_ros.types import Camera, CameraFrame, Float64Array, FloatImage, MaskProposal, RgbImage

# Width of the images that the network was trained on, about, pixels.
WIDTH_PX = 256
# Share of the outline at the image's border beyond which an object is too incomplete to be judged.
_MAX_BORDER_SHARE = 0.3
# Mean probability over an object's pixels below which it is unjudged.
_MIN_MEAN_PROBABILITY = 0.62
# Size in the image from which the score does not grow, pixels.
_CLEAR_PX = 100
# Label of the pixels around the image; no label of an image has this value.
_OUTSIDE = -2


class NetworkMasks:
    """Proposals of a network that was trained on simulated rooms (tools/train_masks).

    Its input is colour, and depth as height, normals and steps, which depend little on the scale of the room. The depth
    may come from a sensor or from the map.
    """

    def __init__(self, config: MaskConfig | None = None, weights: Path = WEIGHTS_FILE) -> None:
        """Raises BackendError if the weights cannot be read."""
        self._config = config or MaskConfig(backend="network")
        self._network = load_weights(weights)

    def propose(
        self,
        frame: CameraFrame,
        rendered_depth_m: FloatImage | None = None,
        rendered_alpha: FloatImage | None = None,
    ) -> MaskProposal:
        """See MaskBackend. Without any depth all pixels are unjudged."""
        shape = (frame.camera.height, frame.camera.width)
        depth_m = available_depth(frame, rendered_depth_m, rendered_alpha)
        if depth_m is None:
            return unjudged_view(frame, self._config.backend)
        camera, rgb, depth_m, alpha = _reduced(frame, depth_m, _coverage(frame.depth_m, rendered_alpha, shape))
        probability, centre_px, side_px = self._infer(camera, rgb, depth_m, alpha, frame.T_map_camera)
        unpadded = (slice(camera.height), slice(camera.width))
        labels = without_background_pixels(cluster_votes(probability, centre_px, side_px)[unpadded], depth_m, camera.fx)
        full_size = np.asarray(
            cv2.resize(probability[unpadded], shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32
        )
        labels, scores = scored_labels(resized_labels(labels, full_size), full_size)
        return MaskProposal(frame.stamp_ns, labels, scores, self._config.backend)

    def _infer(
        self, camera: Camera, rgb: RgbImage, depth_m: FloatImage, alpha: FloatImage, T_map_camera: Float64Array
    ) -> tuple[FloatImage, FloatImage, FloatImage]:
        """(probability [h, w], voted centre [h/2, w/2, 2], voted side [h/2, w/2]) in pixels of the input, h and w even."""
        surface = make_surface(camera, depth_m, T_map_camera)
        inputs = network_input(camera, rgb, surface, alpha, T_map_camera)
        height, width = inputs.shape[1:]
        padding = ((0, 0), (0, -height % MULTIPLE_PX), (0, -width % MULTIPLE_PX))
        batch = torch.from_numpy(np.pad(inputs, padding))[None].contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            logit, votes = self._network(batch)
        even = (height + height % 2, width + width % 2)
        probability = torch.sigmoid(logit)[0, 0, : even[0], : even[1]].numpy()
        offset, log_side = votes[0, :2].numpy(), votes[0, 2].numpy()
        rows, columns = np.indices(log_side.shape, np.float32) * 2 + np.float32(0.5)
        centre = np.stack([columns, rows], axis=-1) + np.moveaxis(offset, 0, -1) * np.float32(OFFSET_UNIT_PX)
        half = (slice(even[0] // 2), slice(even[1] // 2))
        return probability, centre[half], (np.exp(log_side) * np.float32(OFFSET_UNIT_PX))[half]


def _reduced(
    frame: CameraFrame, depth_m: FloatImage, alpha: FloatImage
) -> tuple[Camera, RgbImage, FloatImage, FloatImage]:
    """(camera, rgb, depth, alpha), reduced if they are wider than WIDTH_PX."""
    camera = frame.camera
    if camera.width <= WIDTH_PX:
        return camera, frame.rgb, depth_m, alpha
    height = max(round(camera.height * WIDTH_PX / camera.width), 1)
    rgb, depth_m = reduced_rgb(frame.rgb, height, WIDTH_PX), reduced_depth(depth_m, height, WIDTH_PX)
    alpha = np.asarray(cv2.resize(alpha, (WIDTH_PX, height), interpolation=cv2.INTER_AREA), np.float32)
    return camera.resized(WIDTH_PX, height), rgb, depth_m, alpha


def _coverage(sensor_m: FloatImage | None, rendered_alpha: FloatImage | None, shape: tuple[int, int]) -> FloatImage:
    """[H, W] coverage by known depth in [0, 1]: 1 where the sensor has depth, else the opacity of the map."""
    opacity = np.ones(shape, np.float32) if rendered_alpha is None else np.clip(rendered_alpha, 0, 1).astype(np.float32)
    return opacity if sensor_m is None else np.where(sensor_m > 0, np.float32(1), opacity)


def scored_labels(labels: NDArray[np.int32], probability: FloatImage) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Labels [H, W] and scores [K] of the proposals; objects cut by the image's border or improbable are unjudged.

    labels: [H, W]; probability: [H, W] of an object.
    """
    count = int(labels.max(initial=0))
    inside = labels > 0
    area = np.bincount(labels[inside], minlength=count + 1)
    mean_probability = np.bincount(labels[inside], probability[inside], minlength=count + 1) / np.maximum(area, 1)
    border = _border_shares(labels, count)
    accepted = (border <= _MAX_BORDER_SHARE) & (mean_probability >= _MIN_MEAN_PROBABILITY)
    accepted[0] = False
    final = np.where(accepted, np.cumsum(accepted), UNJUDGED)
    final[0] = 0
    scores = mean_probability * np.clip(area / _CLEAR_PX, 0.4, 1.0) * (1 - border)
    proposals = np.where(labels > 0, final[np.maximum(labels, 0)], labels).astype(np.int32)
    return proposals, scores[accepted].astype(np.float32)


def _border_shares(labels: NDArray[np.int32], count: int) -> FloatImage:
    """[count + 1] share of each object's outline that lies at the image's border."""
    padded = np.pad(labels, 1, constant_values=_OUTSIDE)
    own = padded[1:-1, 1:-1]
    outline, border = np.zeros(count + 1), np.zeros(count + 1)
    for other in (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]):
        edge = (own > 0) & (own != other)
        outline += np.bincount(own[edge], minlength=count + 1)
        border += np.bincount(own[edge & (other == _OUTSIDE)], minlength=count + 1)
    return np.asarray(border / np.maximum(outline, 1), np.float32)
