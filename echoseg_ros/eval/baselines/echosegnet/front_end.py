"""The reference's 2D stage, OWOD-BIND, simulated from truth: its detector and its models need weights that are not here.

It is right about the kind of object, not about the instance: all instances of the sounding kind are masked, with
misses, with false boxes (also where nothing is: the best of few boxes is always kept), and with edges that are a little
off. How much of each is set such that its masks alone, and the reference's lifting of them, score as published
(front_end_calibration).
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
    """How good the 2D masks are.

    miss: chance that an instance is overlooked in a view; small_px_share: share of the image's pixels of which an
    instance is overlooked half as often again as not, fewer more often; false_mask: chance of a false mask in a view;
    confused: share of the false masks that are on one and the same other object of the scene where it is in view, the
    others are anywhere; edge: deviation of the outline, and growth: its mean offset outwards, both as shares of the root of
    the instance's area; seed: of all this.
    """

    miss: float = 0.02
    small_px_share: float = 0.0007
    false_mask: float = 0.05
    confused: float = 0.8
    edge: float = 0.06
    growth: float = 0.14
    seed: int = 0

    def masks(self, scene: EvalScene, view: View) -> list[Mask]:
        """The masks [H, W] kept in one view, none of them empty. The same view always gets the same masks.

        Raises DatasetError for a scene without `object_ids`.
        """
        ids = scene.object_ids(view)
        rng = np.random.default_rng([self.seed, _number(scene), view.frame.number])
        sounding = sorted({k for source in scene.sounding_ids for k in scene.ids_of_kind(source)})
        kept = []
        for k in sounding:
            instance, overlooked, field = ids == k, rng.random(), rng.integers(2**31)
            if overlooked >= self._miss_chance(float(instance.mean())):
                kept.append(self._jittered(instance, int(field)))
        if rng.random() < self.false_mask:
            kept.append(self._false(scene, ids, sounding, rng))
        return [mask for mask in kept if mask.any()]

    def union(self, scene: EvalScene, view: View) -> Mask:
        """[H, W] all masks of a view in one: what the reference's 2D stage hands on."""
        shape = (view.camera.height, view.camera.width)
        return np.logical_or.reduce([np.zeros(shape, bool), *self.masks(scene, view)])

    def as_json(self) -> dict[str, float]:
        """The parameters, to be written down with what came of them."""
        return asdict(self)

    def _miss_chance(self, share: float) -> float:
        """1 for an instance that is not in view."""
        if share <= 0:
            return 1.0
        return 1 - (1 - self.miss) * share / (share + self.small_px_share)

    def _jittered(self, mask: Mask, seed: int) -> Mask:
        """The mask with its outline moved by a smooth random field."""
        side = float(np.sqrt(mask.sum()))
        outside = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5) - 0.5
        inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5) - 0.5
        smooth = _smooth_noise(mask.shape, max(0.4 * side, 1.0), seed)
        offset = self.growth + self.edge * smooth
        return np.asarray(np.where(mask, -inside, outside) < side * offset)

    def _false(self, scene: EvalScene, ids: NDArray[np.int32], sounding: list[int], rng: np.random.Generator) -> Mask:
        """Another object, or an ellipse of an object's size anywhere."""
        height, width = ids.shape
        place, size = rng.random(2) * [width, height], (0.06 + 0.14 * rng.random(2)) * width
        turn, on_object, field = 180 * rng.random(), rng.random() < self.confused, int(rng.integers(2**31))
        others = [k for k in range(1, len(scene.object_names) + 1) if k not in sounding]
        if on_object and others:
            taken = others[np.random.default_rng([self.seed, _number(scene)]).integers(len(others))]
            if (ids == taken).any():
                return self._jittered(ids == taken, field)
        image = np.zeros(ids.shape, np.uint8)
        cv2.ellipse(image, (place.tolist(), size.tolist(), float(turn)), 1, -1)
        return image > 0


def _smooth_noise(shape: tuple[int, ...], reach_px: float, seed: int) -> NDArray[np.float32]:
    """[H, W] of deviation 1, smooth over about `reach_px`: drawn that far apart and interpolated."""
    height, width = shape
    coarse = (int(height / reach_px) + 3, int(width / reach_px) + 3)
    drawn = np.random.default_rng(seed).normal(size=coarse).astype(np.float32)
    fine = cv2.resize(drawn, None, fx=reach_px, fy=reach_px, interpolation=cv2.INTER_CUBIC)[:height, :width]
    return np.asarray(fine / max(float(fine.std()), 1e-9), np.float32)


def _number(scene: EvalScene) -> int:
    """The same for a scene wherever the data set lies."""
    return zlib.crc32("/".join(scene.path.absolute().parts[-4:]).encode())
