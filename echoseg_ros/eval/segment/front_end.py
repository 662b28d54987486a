"""Simulation of the 2D stage of EchoSegnet (OWOD-BIND) from truth, since its detector and weights are not available.

The stage knows the kind of the sounding object, not the instance: it masks all instances of that kind, with misses,
false masks and imprecise outlines. The amounts are set by front_end_calibration: the masks alone, and EchoSegnet's
lifting of them, score as published.
"""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from echoseg_ros.eval.segment.scene_views import EvalScene, View

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class FrontEnd:
    """Quality of the simulated 2D masks.

    miss: probability that a large instance is missed in a view; small_px_share: share of the image's pixels at which an
    instance is detected half as often as a large one; false_mask: probability of a false mask in a view; confused: share
    of the false masks that lie on one fixed other object of the scene if it is in view, the rest lie anywhere; edge:
    standard deviation of the outline, growth: its mean offset outwards, both relative to the root of the instance's
    area; seed: random seed.
    """

    miss: float = 0.02
    small_px_share: float = 0.0007
    false_mask: float = 0.05
    confused: float = 0.8
    edge: float = 0.06
    growth: float = 0.14
    seed: int = 0

    def masks(self, scene: EvalScene, view: View) -> list[Mask]:
        """The masks [H, W] of a view, none of them empty; always the same for a view.

        Raises DatasetError for a scene without `object_ids`.
        """
        ids = scene.object_ids(view)
        rng = np.random.default_rng([self.seed, _scene_number(scene), view.frame.number])
        sounding = sorted({k for source in scene.sounding_ids for k in scene.ids_of_same_kind(source)})
        kept = []
        for k in sounding:
            instance, miss_draw, field_seed = ids == k, rng.random(), rng.integers(2**31)
            if miss_draw >= self._miss_chance(float(instance.mean())):
                kept.append(self._jittered(instance, int(field_seed)))
        if rng.random() < self.false_mask:
            kept.append(self._false(scene, ids, sounding, rng))
        return [mask for mask in kept if mask.any()]

    def union(self, scene: EvalScene, view: View) -> Mask:
        """[H, W] union of all masks of a view, the output of the 2D stage."""
        shape = (view.camera.height, view.camera.width)
        union: Mask = np.logical_or.reduce([np.zeros(shape, bool), *self.masks(scene, view)])
        return union

    def as_json(self) -> dict[str, float]:
        """The parameters, for the rows of scores made with them."""
        return asdict(self)

    def _miss_chance(self, share: float) -> float:
        """Probability that an instance is missed; share: its share of the image's pixels, 0 = not in view."""
        if share <= 0:
            return 1.0
        return 1 - (1 - self.miss) * share / (share + self.small_px_share)

    def _jittered(self, mask: Mask, seed: int) -> Mask:
        """The mask with its outline displaced by a smooth random field."""
        side = float(np.sqrt(mask.sum()))
        outside = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5) - 0.5
        inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5) - 0.5
        smooth = _smooth_noise(mask.shape, max(0.4 * side, 1.0), seed)
        offset = self.growth + self.edge * smooth
        return np.asarray(np.where(mask, -inside, outside) < side * offset)

    def _false(self, scene: EvalScene, ids: NDArray[np.int32], sounding: list[int], rng: np.random.Generator) -> Mask:
        """A false mask: another object, or an ellipse of an object's size anywhere."""
        height, width = ids.shape
        place, size = rng.random(2) * [width, height], (0.06 + 0.14 * rng.random(2)) * width
        turn, on_object, field_seed = 180 * rng.random(), rng.random() < self.confused, int(rng.integers(2**31))
        others = [k for k in range(1, len(scene.object_names) + 1) if k not in sounding]
        if on_object and others:
            taken = others[np.random.default_rng([self.seed, _scene_number(scene)]).integers(len(others))]
            if (ids == taken).any():
                return self._jittered(ids == taken, field_seed)
        image = np.zeros(ids.shape, np.uint8)
        cv2.ellipse(image, (place.tolist(), size.tolist(), float(turn)), 1, -1)
        return image > 0


def _smooth_noise(shape: tuple[int, ...], reach_px: float, seed: int) -> NDArray[np.float32]:
    """[H, W] noise of deviation 1, smooth over about `reach_px`: drawn on a grid of that step and interpolated."""
    height, width = shape
    coarse = (int(height / reach_px) + 3, int(width / reach_px) + 3)
    drawn = np.random.default_rng(seed).normal(size=coarse).astype(np.float32)
    fine = cv2.resize(drawn, None, fx=reach_px, fy=reach_px, interpolation=cv2.INTER_CUBIC)[:height, :width]
    return np.asarray(fine / max(float(fine.std()), 1e-9), np.float32)


def _scene_number(scene: EvalScene) -> int:
    """A number of the scene that does not depend on where the data set is stored."""
    return zlib.crc32("/".join(scene.path.absolute().parts[-4:]).encode())
