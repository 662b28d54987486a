"""The map's whole life behind one class: frames in, views and weights out. Owned by one thread."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from echoseg_ros.config import Config
from echoseg_ros.io.ply import SH_C0, read_ply
from echoseg_ros.mapping.gaussian_map import GaussianMap
from echoseg_ros.mapping.gaussians import Gaussians, MapGaussians
from echoseg_ros.mapping.keyframes import Keyframe, KeyframeSelector, KeyframeStore, Reason, reduced
from echoseg_ros.mapping.map_copy import OWN_FIELDS, CarriedFields, MapCopy
from echoseg_ros.mapping.optimize import MapOptimizer
from echoseg_ros.mapping.plane_sweep.candidates import KeyframeCandidates
from echoseg_ros.mapping.pose_jumps import PoseJumps
from echoseg_ros.mapping.rasterizers.conventions import Rasterizer, Rendered
from echoseg_ros.mapping.rasterizers.factory import make_rasterizer, warm_up
from echoseg_ros.types import Camera, CameraFrame, Float64Array, FloatImage

# Where less than this of a pixel is covered, the map says nothing about its depth.
EXPLAINED_ALPHA = 0.8
# A Gaussian fainter than this is not surface.
SURFACE_OPACITY = 0.3


class Mapper:
    """Keyframes, Gaussians and their optimiser on one device. Raises BackendError if the backend cannot run there.

    Free of scale: the map is in the units of the poses, and nothing in it depends on a length in metres.
    """

    def __init__(self, config: Config, device: str = "cpu") -> None:
        self._config = config
        self._device = device
        self._rasterizer = make_rasterizer(config.map.backend, device, config.map.vram_gb)
        self._map = GaussianMap(config.map.max_gaussians, device)
        self._selector = KeyframeSelector(config.keyframes)
        self._jumps = PoseJumps()
        self._keyframes = KeyframeStore(config.keyframes)
        self._swept = KeyframeCandidates(draw=self._drawn_depth)
        self._optimizer = MapOptimizer(self._map, self._rasterizer, config.map)
        self._carried = CarriedFields()
        self._keyframe_count = 0
        # Stamp of the newest frame that was chosen as a keyframe, whether it has joined the map or waits for parallax.
        self.chosen_ns: int | None = None
        self.seeds: Float64Array | None = None
        # Median depth of the newest keyframe: what "far" means in this map's units; None until one is known.
        self.scene_depth: float | None = None
        self.problem: str | None = None

    @property
    def rasterizer(self) -> Rasterizer:
        """The backend that draws this map."""
        return self._rasterizer

    @property
    def gaussians(self) -> MapGaussians:
        """The map as it is now: tensors that later calls change, so copy what is to be kept."""
        return MapGaussians(**dict(self._map.gaussians.items()), uids=self._map.uids)

    @property
    def keyframes(self) -> list[Keyframe]:
        """Those that are kept, in order of time, with the poses that they have now."""
        return self._optimizer.keyframes

    def add_seeds(self, points_map: NDArray[np.floating]) -> None:
        """Points [N, 3] known to lie on surfaces: they bound the depths of cameras without a depth sensor."""
        self.seeds = np.asarray(points_map, dtype=float)

    def add_frame(self, frame: CameraFrame) -> list[Keyframe]:
        """Take a frame; returns the keyframes that joined the map with it, with depth and at the map's resolution.

        A frame with depth joins at once if it is a keyframe; without, it joins two keyframes later, when parallax
        has given it depth. `problem` says what is amiss, None if nothing is.
        """
        self.problem = self._jumps.consider(frame, self.scene_depth)
        reason = self._selector.consider(frame, self.scene_depth) if self.problem is None else Reason.TOO_SOON
        if not reason.accepted:
            return []
        keyframe = Keyframe.of(reduced(frame, self._config.map.image_width_px), self._keyframe_count, reason)
        self._keyframe_count += 1
        self.chosen_ns = frame.stamp_ns
        if keyframe.depth_m is not None:
            return self._take([keyframe])
        ready = self._swept.add(keyframe, self.seeds)
        self.problem = self._swept.waiting or None
        return self._take([swept for swept, _ in ready])

    def finish(self) -> list[Keyframe]:
        """At the end of a recording: the keyframes that waited for parallax join as they are."""
        return self._take([keyframe for keyframe, _ in self._swept.flush()])

    def _take(self, keyframes: list[Keyframe]) -> list[Keyframe]:
        joined = []
        for keyframe in keyframes:
            assert keyframe.depth_m is not None
            if keyframe.depth_m.any():
                self.scene_depth = float(np.median(keyframe.depth_m[keyframe.depth_m > 0]))
            self._optimizer.add(keyframe)
            joined.append(self._optimizer.keyframes[-1])
            dropped = self._keyframes.add(keyframe)
            if dropped is not None:
                self._optimizer.forget(dropped)
        return joined

    def _drawn_depth(self, keyframe: Keyframe) -> FloatImage | None:
        """[H, W] depth that the map shows in a keyframe's view, 0 where it shows nothing; None while the map is empty."""
        if len(self._map) == 0:
            return None
        drawn = self.render(keyframe.camera, keyframe.T_map_camera)
        return torch.where(drawn.alpha > EXPLAINED_ALPHA, drawn.depth, torch.zeros_like(drawn.depth)).cpu().numpy()

    @property
    def steps_done(self) -> int:
        """Optimisation steps since the start, or since the last `clear`."""
        return self._optimizer.steps_done

    def optimise(self, steps: int) -> None:
        """That many optimisation steps over the keyframes."""
        self._optimizer.steps(steps)

    @torch.no_grad()
    def render(self, camera: Camera, T_map_camera: Float64Array) -> Rendered:
        """A view of the map; tensors without gradients on the map's device."""
        return self._rasterizer.render(self._map.gaussians, camera, T_map_camera)

    def render_features(self, camera: Camera, T_map_camera: Float64Array, features: Tensor) -> tuple[Tensor, Tensor]:
        """([H, W, C] sums of blending weight times feature, [H, W] alpha) for features [N, C]."""
        return self._rasterizer.render_features(self._map.gaussians, camera, T_map_camera, features.to(self._device))

    def lift(self, camera: Camera, T_map_camera: Float64Array, labels: NDArray[np.integer], classes: int) -> Tensor:
        """[N, classes] sums of blending weights over the pixels of each label [H, W]; others are ignored."""
        return self._rasterizer.lift(self._map.gaussians, camera, T_map_camera, labels, classes)

    def predicted(self, frame: CameraFrame) -> tuple[CameraFrame, Rendered]:
        """(the frame at the map's resolution, what the map expects of it).

        Colours are in 0..1 and in the exposure of the frame's time; with `map.refine_poses` the pose is corrected like
        those of the keyframes around it.
        """
        small = reduced(frame, self._config.map.image_width_px)
        T_map_camera = self._optimizer.corrections.at(frame.stamp_ns, small.T_map_camera)
        drawn = self.render(small.camera, T_map_camera)
        rgb = self._optimizer.exposures.at(frame.stamp_ns).apply(drawn.rgb).clamp(0, 1)
        return small, Rendered(rgb, drawn.depth, drawn.alpha)

    def psnr_db(self, frame: CameraFrame, compensate_exposure: bool = False) -> float:
        """How well the map predicts a frame, at the map's resolution; infinite only for a perfect view.

        compensate_exposure: with the gain and bias per channel that fit best: automatic exposure cannot be predicted.
        """
        small, view = self.predicted(frame)
        drawn = view.rgb.cpu().numpy().astype(float)
        truth = small.rgb / 255.0
        if compensate_exposure:
            drawn = np.stack([_fitted(drawn[..., k], truth[..., k]) for k in range(3)], axis=-1)
        return float(-10 * np.log10(np.mean((drawn - truth) ** 2) + 1e-30))

    def surface_sample(
        self, max_points: int
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.int64]]:  # fmt: skip
        """(points [S, 3] metres, rgb [S, 3], uids [S]) of at most `max_points` solid Gaussians, evenly."""
        gaussians = self.gaussians
        rows = torch.nonzero(gaussians.opacities > SURFACE_OPACITY).squeeze(1)
        if len(rows) > max_points:
            rows = rows[torch.linspace(0, len(rows) - 1, max_points, device=rows.device).long()]
        rgb = (gaussians.rgb[rows].clamp(0, 1) * 255).round().to(torch.uint8)
        return gaussians.means[rows].cpu().numpy(), rgb.cpu().numpy(), gaussians.uids[rows].cpu().numpy()

    def rewind(self) -> None:
        """Time went back: the next frame is a keyframe whatever its stamp and pose; map and keyframes stay."""
        self._selector.clear()
        self._jumps.clear()
        self._swept.clear()

    def clear(self) -> None:
        """Forget map and keyframes; the seeds stay, for they are told only once."""
        self.rewind()
        self.problem = None
        self._map.clear()
        self._carried = CarriedFields()
        self._keyframes.clear()
        self.scene_depth = None
        self._optimizer.clear()

    def warm_up(self) -> None:
        """Compile the rasterizer's kernels (seconds the first time on a machine), so that the first frame is not late."""
        warm_up(self._rasterizer, self._device)

    def copy(self) -> MapCopy:
        """The map as it is now, for any thread to write: milliseconds, and nothing that comes later changes it."""
        return MapCopy.of(self.gaussians, self._carried)

    def save(
        self,
        path: Path,
        instance_ids: NDArray[np.integer] | None = None,
        audio_intensity: NDArray[np.floating] | None = None,
    ) -> None:
        """Write the map as a 3DGS file (MapCopy.write), atomically, and wait for it."""
        self.copy().write(path, instance_ids, audio_intensity)

    def load(self, path: Path) -> dict[str, NDArray]:
        """Replace the map by a 3DGS file's; returns the file's further fields [N] by name. Raises MapFileError.

        Mapping goes on from there: the loaded Gaussians have no keyframes, so what new ones do not show stays as it is.
        Fields that are not ours are written again by `save` for the Gaussians that are still there. A file of more than
        `map.max_gaussians` is taken whole and raises the cap to its size.
        """
        file = read_ply(path)
        self.clear()
        rgb = np.float32(0.5) + np.float32(SH_C0) * file.f_dc
        tensors = (file.means, file.quats_wxyz, file.log_scales, file.opacity_logits, rgb)
        self._map.max_gaussians = max(self._config.map.max_gaussians, len(file.means))
        self._map.insert(Gaussians(*(torch.from_numpy(np.ascontiguousarray(values)) for values in tensors)))
        foreign = {name: values for name, values in file.extra.items() if name not in OWN_FIELDS}
        self._carried = CarriedFields(self._map.uids.cpu().numpy(), foreign)
        return file.extra


def _fitted(drawn: Float64Array, truth: Float64Array) -> Float64Array:
    gain, bias = np.polyfit(drawn.ravel(), truth.ravel(), 1)
    return gain * drawn + bias
