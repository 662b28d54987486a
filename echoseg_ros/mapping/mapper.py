"""The Gaussian map behind one class: frames in; views, lifted weights and copies out. Owned by one thread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from echoseg_ros.config import Config
from echoseg_ros.io.ply import SH_C0, read_ply
from echoseg_ros.mapping.gaussian_map import GaussianMap
from echoseg_ros.mapping.gaussians import Gaussians, MapGaussians
from echoseg_ros.mapping.keyframes import Keyframe, KeyframeReason, KeyframeSelector, KeyframeStore, reduced
from echoseg_ros.mapping.map_copy import ECHOSEG_FIELDS, ForeignFields, MapCopy
from echoseg_ros.mapping.optimize import MapOptimizer
from echoseg_ros.mapping.plane_sweep.keyframe_candidates import KeyframeCandidates
from echoseg_ros.mapping.pose_jump_detector import PoseJumpDetector
from echoseg_ros.mapping.rasterizers.conventions import Rasterizer, Rendered
from echoseg_ros.mapping.rasterizers.factory import make_rasterizer, warm_up
from echoseg_ros.types import Camera, CameraFrame, Float32Array, Float64Array, FloatImage

# Alpha above which the rendered depth of a pixel is used.
MIN_DEPTH_ALPHA = 0.8
# Opacity above which a Gaussian belongs to a surface.
SURFACE_OPACITY = 0.3


class Mapper:
    """Keyframes, Gaussians and their optimiser on one device. Raises BackendError if the backend cannot run there.

    The map has the unit of the poses (map unit); nothing in it depends on a length in metres.

    newest_selected_ns: stamp of the newest frame that was selected as a keyframe or keyframe candidate; seed_points:
    [N, 3] known surface points, None if none were given; scene_depth: median depth of the newest keyframe, map units,
    None before the first; problem: why the last frame did not enter the map, None if nothing is wrong.
    """

    def __init__(self, config: Config, device: str = "cpu") -> None:
        self._config = config
        self._device = device
        self._rasterizer = make_rasterizer(config.map.backend, device, config.map.vram_gb)
        self._map = GaussianMap(config.map.max_gaussians, device)
        self._selector = KeyframeSelector(config.keyframes)
        self._pose_jumps = PoseJumpDetector()
        self._keyframes = KeyframeStore(config.keyframes)
        self._candidates = KeyframeCandidates(render_depth=self._rendered_depth)
        self._optimizer = MapOptimizer(self._map, self._rasterizer, config.map)
        self._foreign_fields = ForeignFields()
        self._keyframe_count = 0
        self.newest_selected_ns: int | None = None
        self.seed_points: Float64Array | None = None
        self.scene_depth: float | None = None
        self.problem: str | None = None

    @property
    def rasterizer(self) -> Rasterizer:
        """The rasterizer of this map."""
        return self._rasterizer

    @property
    def gaussians(self) -> MapGaussians:
        """The current map; later calls change its tensors in place."""
        return MapGaussians(**dict(self._map.gaussians.items()), uids=self._map.uids)

    @property
    def keyframes(self) -> list[Keyframe]:
        """The kept keyframes, in the order of insertion, with their current poses."""
        return self._optimizer.keyframes

    def set_seed_points(self, points_map: NDArray[np.floating]) -> None:
        """Set known surface points [N, 3], map units; they bound the search of the plane sweep."""
        self.seed_points = np.asarray(points_map, dtype=float)

    def add_frame(self, frame: CameraFrame) -> list[Keyframe]:
        """Take the next frame; returns the keyframes that join the map now, with depth, at the map's resolution.

        A keyframe with depth joins at once. Without a depth sensor it is a candidate first and joins two keyframes later,
        when parallax has given it depth. Sets `problem`.
        """
        self.problem = self._pose_jumps.check(frame, self.scene_depth)
        reason = self._selector.select(frame, self.scene_depth) if self.problem is None else KeyframeReason.TOO_SOON
        if not reason.accepted:
            return []
        keyframe = Keyframe.of(reduced(frame, self._config.map.image_width_px), self._keyframe_count, reason)
        self._keyframe_count += 1
        self.newest_selected_ns = frame.stamp_ns
        if keyframe.depth_m is not None:
            return self._join([keyframe])
        ready = self._candidates.add(keyframe, self.seed_points)
        self.problem = self._candidates.waiting_reason or None
        return self._join([candidate for candidate, _ in ready])

    def finish(self) -> list[Keyframe]:
        """At the end of a recording: let the keyframe candidates with depth join the map; returns them."""
        return self._join([keyframe for keyframe, _ in self._candidates.flush()])

    def _join(self, keyframes: list[Keyframe]) -> list[Keyframe]:
        joined = []
        for keyframe in keyframes:
            assert keyframe.depth_m is not None
            if keyframe.depth_m.any():
                self.scene_depth = float(np.median(keyframe.depth_m[keyframe.depth_m > 0]))
            self._optimizer.add_keyframe(keyframe)
            joined.append(self._optimizer.keyframes[-1])
            dropped = self._keyframes.add(keyframe)
            if dropped is not None:
                self._optimizer.remove_keyframe(dropped)
        return joined

    def _rendered_depth(self, keyframe: Keyframe) -> FloatImage | None:
        """Depth [H, W] of the map in a keyframe's view, 0 where the map covers too little; None if the map is empty."""
        if len(self._map) == 0:
            return None
        view = self.render(keyframe.camera, keyframe.T_map_camera)
        depth = torch.where(view.alpha > MIN_DEPTH_ALPHA, view.depth, torch.zeros_like(view.depth))
        depth_image: FloatImage = depth.cpu().numpy()
        return depth_image

    @property
    def steps_done(self) -> int:
        """Optimisation steps since the start, or since the last `clear`."""
        return self._optimizer.steps_done

    def optimise(self, steps: int) -> None:
        """Run this many optimisation steps."""
        self._optimizer.run_steps(steps)

    @torch.no_grad()
    def render(self, camera: Camera, T_map_camera: Float64Array) -> Rendered:
        """Render a view of the map: tensors without gradients on the map's device."""
        return self._rasterizer.render(self._map.gaussians, camera, T_map_camera)

    def render_features(self, camera: Camera, T_map_camera: Float64Array, features: Tensor) -> tuple[Tensor, Tensor]:
        """Render features [N, C]: ([H, W, C] sums of blending weight times feature, [H, W] alpha)."""
        return self._rasterizer.render_features(self._map.gaussians, camera, T_map_camera, features.to(self._device))

    def lift(self, camera: Camera, T_map_camera: Float64Array, labels: NDArray[np.integer], classes: int) -> Tensor:
        """Sums [N, classes] of blending weights over the pixels of each label; labels: [H, W], others are ignored."""
        return self._rasterizer.lift(self._map.gaussians, camera, T_map_camera, labels, classes)

    def predict(self, frame: CameraFrame) -> tuple[CameraFrame, Rendered]:
        """(the frame at the map's resolution, the view that the map predicts for it).

        Colours are in 0..1, in the exposure expected at the frame's time. With `map.refine_poses` the pose gets the
        correction of the keyframes before and after it.
        """
        small = reduced(frame, self._config.map.image_width_px)
        T_map_camera = self._optimizer.corrections.corrected_at(frame.stamp_ns, small.T_map_camera)
        view = self.render(small.camera, T_map_camera)
        rgb = self._optimizer.exposures.at_time(frame.stamp_ns).apply(view.rgb).clamp(0, 1)
        return small, Rendered(rgb, view.depth, view.alpha)

    def psnr_db(self, frame: CameraFrame, compensate_exposure: bool = False) -> float:
        """Peak signal-to-noise ratio of the predicted view of a frame, dB, at the map's resolution.

        compensate_exposure: first apply the gain and offset per channel that fit best, because automatic exposure cannot
        be predicted.
        """
        small, view = self.predict(frame)
        predicted: Float64Array = view.rgb.cpu().numpy().astype(float)
        truth = small.rgb / 255.0
        if compensate_exposure:
            predicted = np.stack([_fitted(predicted[..., k], truth[..., k]) for k in range(3)], axis=-1)
        return float(-10 * np.log10(np.mean((predicted - truth) ** 2) + 1e-30))

    def surface_sample(self, max_points: int) -> tuple[Float32Array, NDArray[np.uint8], NDArray[np.int64]]:
        """(centres [S, 3] map units, rgb [S, 3], uids [S]) of at most `max_points` opaque Gaussians, evenly spaced rows."""
        gaussians = self.gaussians
        rows = torch.nonzero(gaussians.opacities > SURFACE_OPACITY).squeeze(1)
        if len(rows) > max_points:
            rows = rows[torch.linspace(0, len(rows) - 1, max_points, device=rows.device).long()]
        rgb = (gaussians.rgb[rows].clamp(0, 1) * 255).round().to(torch.uint8)
        return gaussians.means[rows].cpu().numpy(), rgb.cpu().numpy(), gaussians.uids[rows].cpu().numpy()

    def rewind(self) -> None:
        """On a backward time jump: forget the last poses and the candidates; the map and its keyframes stay."""
        self._selector.clear()
        self._pose_jumps.clear()
        self._candidates.clear()

    def clear(self) -> None:
        """Remove the map and its keyframes; the seed points stay, because they are given only once."""
        self.rewind()
        self.problem = None
        self._map.clear()
        self._foreign_fields = ForeignFields()
        self._keyframes.clear()
        self.scene_depth = None
        self._optimizer.clear()

    def warm_up(self) -> None:
        """Compile the rasterizer's kernels before the first frame; takes seconds the first time on a machine."""
        warm_up(self._rasterizer, self._device)

    def copy(self) -> MapCopy:
        """A copy of the current map, which any thread can write to a file; takes milliseconds."""
        return MapCopy.of(self.gaussians, self._foreign_fields)

    def save(
        self,
        path: Path,
        instance_ids: NDArray[np.integer] | None = None,
        audio_intensity: NDArray[np.floating] | None = None,
    ) -> None:
        """Write the map as a 3DGS file, atomically; arguments as in MapCopy.write."""
        self.copy().write(path, instance_ids, audio_intensity)

    def load(self, path: Path) -> dict[str, NDArray[Any]]:
        """Replace the map by the one of a 3DGS file; returns its extra fields [N] by name. Raises MapFileError.

        Mapping continues from the loaded map. Its Gaussians have no keyframes: those that new keyframes do not show stay
        unchanged. `save` writes the foreign fields again for the Gaussians that remain. A file with more than
        `map.max_gaussians` Gaussians is loaded completely and raises the limit to its size.
        """
        file = read_ply(path)
        self.clear()
        rgb = np.float32(0.5) + np.float32(SH_C0) * file.f_dc
        tensors = (file.means, file.quats_wxyz, file.log_scales, file.opacity_logits, rgb)
        self._map.max_gaussians = max(self._config.map.max_gaussians, len(file.means))
        self._map.insert(Gaussians(*(torch.from_numpy(np.ascontiguousarray(values)) for values in tensors)))
        foreign = {name: values for name, values in file.extra.items() if name not in ECHOSEG_FIELDS}
        self._foreign_fields = ForeignFields(self._map.uids.cpu().numpy(), foreign)
        return file.extra


def _fitted(predicted: Float64Array, truth: Float64Array) -> Float64Array:
    """The prediction with the gain and offset that fit the truth best."""
    gain, bias = np.polyfit(predicted.ravel(), truth.ravel(), 1)
    fitted: Float64Array = gain * predicted + bias
    return fitted
