"""Objects by a small network of our own, which groups pixels by colour, depth and normals. Its weights come along."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from echoseg_ros.config import MaskConfig
from echoseg_ros.mapping.keyframes import reduced_depth, reduced_rgb
from echoseg_ros.masks.network.grouping import UNJUDGED, enlarged, group, without_background
from echoseg_ros.masks.network.model import MULTIPLE_PX, OFFSET_UNIT_PX
from echoseg_ros.masks.network.network_input import network_input
from echoseg_ros.masks.network.weights import WEIGHTS_FILE, load_weights
from echoseg_ros.masks.surface import known_depth, make_surface
from echoseg_ros.types import Camera, CameraFrame, Float64Array, FloatImage, MaskProposal, RgbImage

# The network was trained on images of about this width.
WIDTH_PX = 256
# Share of the outline at the image's border from which an object is too incomplete to be judged.
_MAX_BORDER_SHARE = 0.3
# Mean probability over an object's pixels below which it may as well be none.
_MIN_TRUST = 0.62
# An object of this many pixels is seen well enough to be fully trusted.
_CLEAR_PX = 100


class NetworkMasks:
    """Objects as a network that was trained on simulated rooms sees them (tools/train_masks).

    It sees colour, and depth as height, normals and steps, so that it depends little on the room's size. Depth may come
    from a sensor or from the map.
    """

    def __init__(self, config: MaskConfig | None = None) -> None:
        """Raises BackendError if the weights cannot be read."""
        self._config = config or MaskConfig(backend="network")
        self._network = load_weights(WEIGHTS_FILE)

    def propose(
        self,
        frame: CameraFrame,
        rendered_depth_m: FloatImage | None = None,
        rendered_alpha: FloatImage | None = None,
    ) -> MaskProposal:
        """Candidate objects at the size of the frame's camera; label -1 marks what cannot be judged from here.

        Without any depth everything is unjudged. Raises ImageFormatError if a depth image has not the camera's size.
        """
        shape = (frame.camera.height, frame.camera.width)
        depth_m = known_depth(frame, rendered_depth_m, rendered_alpha)
        if depth_m is None:
            labels = np.full(shape, UNJUDGED, np.int32)
            return MaskProposal(frame.stamp_ns, labels, np.zeros(0, np.float32), self._config.backend)
        camera, rgb, depth_m, alpha = _reduced(frame, depth_m, _coverage(frame.depth_m, rendered_alpha, shape))
        probability, middle_px, side_px = self._infer(camera, rgb, depth_m, alpha, frame.T_map_camera)
        seen = (slice(camera.height), slice(camera.width))
        labels = without_background(group(probability, middle_px, side_px)[seen], depth_m, camera.fx)
        fine = np.asarray(cv2.resize(probability[seen], shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
        labels, scores = judged(enlarged(labels, fine), fine)
        return MaskProposal(frame.stamp_ns, labels, scores, self._config.backend)

    def _infer(
        self, camera: Camera, rgb: RgbImage, depth_m: FloatImage, alpha: FloatImage, T_map_camera: Float64Array
    ) -> tuple[FloatImage, FloatImage, FloatImage]:
        """(probability [h, w], voted middle [h/2, w/2, 2], voted side [h/2, w/2]) at the network's size, sides even."""
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
        middle = np.stack([columns, rows], axis=-1) + np.moveaxis(offset, 0, -1) * np.float32(OFFSET_UNIT_PX)
        half = (slice(even[0] // 2), slice(even[1] // 2))
        return probability, middle[half], (np.exp(log_side) * np.float32(OFFSET_UNIT_PX))[half]


def _reduced(
    frame: CameraFrame, depth_m: FloatImage, alpha: FloatImage
) -> tuple[Camera, RgbImage, FloatImage, FloatImage]:
    """(camera, rgb, depth, alpha) at most WIDTH_PX wide."""
    camera = frame.camera
    if camera.width <= WIDTH_PX:
        return camera, frame.rgb, depth_m, alpha
    height = max(round(camera.height * WIDTH_PX / camera.width), 1)
    rgb, depth_m = reduced_rgb(frame.rgb, height, WIDTH_PX), reduced_depth(depth_m, height, WIDTH_PX)
    alpha = np.asarray(cv2.resize(alpha, (WIDTH_PX, height), interpolation=cv2.INTER_AREA), np.float32)
    return camera.resized(WIDTH_PX, height), rgb, depth_m, alpha


def _coverage(sensor_m: FloatImage | None, rendered_alpha: FloatImage | None, shape: tuple[int, int]) -> FloatImage:
    """[H, W] how much is known of a pixel's depth: all where the sensor says it, else as far as the map covers it."""
    drawn = np.ones(shape, np.float32) if rendered_alpha is None else np.clip(rendered_alpha, 0, 1).astype(np.float32)
    return drawn if sensor_m is None else np.where(sensor_m > 0, np.float32(1), drawn)


def judged(labels: np.ndarray, probability: FloatImage) -> tuple[np.ndarray, np.ndarray]:
    """Final labels [H, W] and scores [K]; what the image's border cuts heavily or hardly looks like one is not judged.

    labels: [H, W] int32, probability: [H, W] of an object.
    """
    count = int(labels.max(initial=0))
    inside = labels > 0
    area = np.bincount(labels[inside], minlength=count + 1)
    trust = np.bincount(labels[inside], probability[inside], minlength=count + 1) / np.maximum(area, 1)
    border = _border_shares(labels, count)
    judged = (border <= _MAX_BORDER_SHARE) & (trust >= _MIN_TRUST)
    judged[0] = False
    final = np.where(judged, np.cumsum(judged), UNJUDGED)
    final[0] = 0
    scores = trust * np.clip(area / _CLEAR_PX, 0.4, 1.0) * (1 - border)
    return np.where(labels > 0, final[np.maximum(labels, 0)], labels).astype(np.int32), scores[judged].astype(
        np.float32
    )


def _border_shares(labels: np.ndarray, count: int) -> FloatImage:
    """[count + 1] share of each object's outline that lies at the image's border."""
    padded = np.pad(labels, 1, constant_values=-2)
    own = padded[1:-1, 1:-1]
    outline, border = np.zeros(count + 1), np.zeros(count + 1)
    for other in (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]):
        edge = (own > 0) & (own != other)
        outline += np.bincount(own[edge], minlength=count + 1)
        border += np.bincount(own[edge & (other == -2)], minlength=count + 1)
    return np.asarray(border / np.maximum(outline, 1), np.float32)
