"""Makes docs/demo.gif: python tools/demo_gif.py [--seed 0] [--bag BAG] [--out docs/demo.gif].

A bag (default: a simulated room) goes through the pipeline. Each picture shows a camera image with the sounding object as
the newest verdict has it, beside the map so far from above.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from echoseg_ros.io.bag import Problem
from echoseg_ros.objects.object_mask import object_mask
from echoseg_ros.pipeline.pipeline import Pipeline
from echoseg_ros.pipeline.replay import bag_array, bag_config, open_bag
from echoseg_ros.report import draw
from echoseg_ros.types import CameraFrame, Float64Array, MapSnapshot, RgbImage, Verdict
from echoseg_sim.recordings.room_recording import simulate_room

# Width of the camera image.
CAMERA_WIDTH_PX = 360
# Width of the view from above, which is as high as the camera image.
TOP_WIDTH_PX = 210
# Every n-th camera image becomes a picture.
EVERY = 3
# Pictures per second: about twice the speed of a camera with 10 images per second.
RATE_HZ = 7
# Colours of the GIF.
COLOURS = 64
# Rows of the first object's colour in the sample that the palette is made of, so that it is kept as it is.
MARK_ROWS = 40
# Share of the surface points, from below, in the view from above: the ceiling is left out.
BELOW_CEILING_SHARE = 0.93
# Margin around the map in the view from above.
MARGIN_M = 0.2
# Edge of a point in the view from above.
SQUARE_PX = 4
# Share of white in the colours of the view from above, so that objects, sources and path stand out.
PALENESS = 0.4
BACKGROUND = (250, 250, 250)
PATH_COLOUR = (60, 60, 60)
SOURCE_COLOUR = (213, 94, 0)
# Number of the first object's colour in draw.PALETTE: blue, which stands out from wood.
FIRST_COLOUR = 1


@dataclass(frozen=True)
class Moment:
    """One picture before it is drawn. image: camera image with the objects marked."""

    image: RgbImage
    T_map_camera: Float64Array
    snapshot: MapSnapshot
    verdict: Verdict


@dataclass(frozen=True)
class Plan:
    """Where points of the map lie in the view from above.

    right_up: [2, 2] directions of the view in the map, one a row; low_m: [2] lower left corner of the view along them.
    """

    right_up: Float64Array
    low_m: Float64Array
    px_per_m: float
    height_px: int

    @staticmethod
    def of(points_m: NDArray[np.floating], width_px: int, height_px: int) -> Plan:
        """The plan that shows all points [N, 2] in the middle of a view of that size, turned so that they are large."""
        size_px, turned = np.array([width_px, height_px]), np.array([[0.0, -1.0], [1.0, 0.0]])
        extent_m = np.ptp(points_m, axis=0)
        right_up = turned if (extent_m[0] > extent_m[1]) != (width_px > height_px) else np.eye(2)
        seen = points_m @ right_up.T
        low, high = seen.min(axis=0) - MARGIN_M, seen.max(axis=0) + MARGIN_M
        px_per_m = float((size_px / (high - low)).min())
        return Plan(right_up, (low + high) / 2 - size_px / px_per_m / 2, px_per_m, height_px)

    def pixels(self, points_m: NDArray[np.floating]) -> NDArray[np.int32]:
        """[N, 2] columns and rows of points [N, >= 2]."""
        columns_rows = (np.atleast_2d(points_m)[:, :2] @ self.right_up.T - self.low_m) * self.px_per_m
        columns_rows[:, 1] = self.height_px - 1 - columns_rows[:, 1]
        pixels: NDArray[np.int32] = np.round(columns_rows).astype(np.int32)
        return pixels


def moments(bag: Path) -> list[Moment]:
    """The bag through the pipeline; one moment for every EVERY-th camera image."""
    config = bag_config(bag).updated({"input.hold_out_every": 0})
    reader = open_bag(bag, config)
    pipeline = Pipeline(config, bag_array(bag, config))
    verdict, found, newest = Verdict(0, 0), list[Moment](), None
    for item in tqdm(reader.messages(), "mapping and listening", unit=" messages"):
        if isinstance(item, Problem):
            continue
        verdict = [verdict, *pipeline.add(item)][-1]
        frame = pipeline.map_stage.last_frame
        if frame is not None and frame is not newest and frame.index % EVERY == 0:
            found.append(Moment(marked(pipeline, frame, verdict), frame.T_map_camera, pipeline.snapshot, verdict))
        newest = frame
    return found


def marked(pipeline: Pipeline, frame: CameraFrame, verdict: Verdict) -> RgbImage:
    """The camera image with the sounding objects of a verdict outlined and named."""
    height = round(CAMERA_WIDTH_PX * frame.camera.height / frame.camera.width)
    image: RgbImage = cv2.resize(frame.rgb, (CAMERA_WIDTH_PX, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
    small = frame.camera.resized(CAMERA_WIDTH_PX // 2, height // 2)
    for rank, sounding in enumerate(verdict.sounding):
        mask = object_mask(pipeline.map_stage.mapper, sounding.instance.uids, small, frame.T_map_camera)
        text = f"{sounding.label or 'sounds'} {sounding.probability:.0%}"
        image = draw.object_overlay(image, draw.resized_mask(mask, CAMERA_WIDTH_PX, height), text, FIRST_COLOUR + rank)
    return image


def top_view(plan: Plan, moment: Moment, path_m: Float64Array, size_px: tuple[int, int]) -> RgbImage:
    """The map of a moment from above: surfaces, sounding objects, sources, path and view of the camera."""
    width, height = size_px
    out = np.full((height, width, 3), BACKGROUND, np.uint8)
    points = moment.snapshot.surface_points
    below = np.argsort(points[:, 2])[: int(BELOW_CEILING_SHARE * len(points))]
    pale = (PALENESS * 255 + (1 - PALENESS) * moment.snapshot.surface_rgb[below]).astype(np.uint8)
    for pixel, rgb in zip(plan.pixels(points[below]), pale, strict=True):
        _draw_square(out, pixel, rgb.tolist())
    for rank, sounding in enumerate(moment.verdict.sounding):
        for pixel in plan.pixels(sounding.instance.points_map):
            _draw_square(out, pixel, draw.colour(FIRST_COLOUR + rank))
    cv2.polylines(out, [plan.pixels(path_m)], False, PATH_COLOUR, 1, cv2.LINE_AA)
    _draw_camera(out, plan, moment.T_map_camera)
    for source in moment.verdict.sources:
        (column, row) = plan.pixels(source.position_m)[0]
        cv2.circle(out, (int(column), int(row)), 7, (255, 255, 255), 3, cv2.LINE_AA)
        cv2.circle(out, (int(column), int(row)), 7, SOURCE_COLOUR, 2, cv2.LINE_AA)
    return out


def _draw_square(out: RgbImage, pixel: NDArray[np.int32], colour: Sequence[int]) -> None:
    column, row = np.maximum(pixel, SQUARE_PX // 2)
    out[row - SQUARE_PX // 2 : row + SQUARE_PX // 2, column - SQUARE_PX // 2 : column + SQUARE_PX // 2] = colour


def _draw_camera(out: RgbImage, plan: Plan, T_map_camera: Float64Array) -> None:
    """A wedge from the camera along its view."""
    ahead, right = T_map_camera[:2, 2], T_map_camera[:2, 0]
    tips = T_map_camera[:2, 3] + 0.35 * np.array([ahead + 0.5 * right, ahead - 0.5 * right])
    wedge = plan.pixels(np.concatenate([T_map_camera[None, :2, 3], tips]))
    cv2.fillPoly(out, [wedge], PATH_COLOUR, cv2.LINE_AA)


def write_gif(pictures: list[RgbImage], path: Path) -> None:
    """One palette for all pictures, without dithering, which would make the file large."""
    marks = np.full((MARK_ROWS, pictures[0].shape[1], 3), draw.colour(FIRST_COLOUR), np.uint8)
    sample = np.concatenate([*pictures[:: max(1, len(pictures) // 12)], marks])
    palette = Image.fromarray(sample).quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    frames = [Image.fromarray(p).quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=1000 // RATE_HZ, loop=0, optimize=True)


def make_gif(bag: Path, out: Path) -> None:
    """Run the pipeline over a bag and write the GIF."""
    found = moments(bag)
    path_m = np.array([moment.T_map_camera[:3, 3] for moment in found])
    size_px = TOP_WIDTH_PX, found[0].image.shape[0]
    plan = Plan.of(np.concatenate([found[-1].snapshot.surface_points[:, :2], path_m[:, :2]]), *size_px)
    pictures = [
        np.hstack([moment.image, top_view(plan, moment, path_m[: i + 1], size_px)]) for i, moment in enumerate(found)
    ]
    write_gif(pictures, out)


def main() -> None:
    """Parse the command line and make the GIF."""
    parser = argparse.ArgumentParser(description="Make docs/demo.gif.")
    parser.add_argument("--seed", type=int, default=0, help="of the simulated room (default %(default)s, as make demo)")
    parser.add_argument("--bag", type=Path, help="a bag instead of a simulated room")
    parser.add_argument("--out", type=Path, default=Path("docs/demo.gif"), help="(default %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bag = arguments.bag or Path(folder) / "bag"
        if arguments.bag is None:
            simulate_room(bag, seed=arguments.seed)
        make_gif(bag, arguments.out)


if __name__ == "__main__":
    main()
