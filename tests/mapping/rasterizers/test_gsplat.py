"""The gsplat rasterizer without a GPU: the arguments and number of its calls of gsplat, and its cache of cameras."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from echoseg_ros import geometry
from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.mapping.rasterizers import gsplat
from echoseg_ros.mapping.rasterizers.conventions import Rasterizer
from echoseg_ros.mapping.rasterizers.factory import make_rasterizer
from echoseg_ros.mapping.rasterizers.gsplat import CameraCache, GsplatRasterizer, limit_vram
from echoseg_ros.mapping.rasterizers.numba.backend import NumbaRasterizer
from echoseg_ros.mapping.rasterizers.reference import ReferenceRasterizer
from echoseg_ros.types import Float64Array
from gpu_check import gsplat_stand_in
from gpu_check.scenes import SMALL, RandomScene

SCENE = RandomScene(SMALL, 120, 5.0, 0, True)


class Recorder:
    """The replacement for gsplat, with a log of the arguments of its calls."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def __call__(self, **arguments: Any) -> Any:
        self.calls.append(arguments)
        return gsplat_stand_in.rasterization(**arguments)


def poses(count: int) -> list[Float64Array]:
    shifts = (geometry.transform(np.eye(3), np.array([0.1 * i, 0.02 * i, 0.0])) for i in range(count))
    return [SCENE.T_map_camera @ shift for shift in shifts]


def test_views_of_one_size_are_drawn_in_one_call() -> None:
    """The second camera has other intrinsics; each view must equal that of the reference for its camera and pose."""
    recorder, gaussians = Recorder(), SCENE.gaussians()
    other = type(SMALL)(SMALL.width, SMALL.height, 40.0, 41.0, 22.0, 18.0)
    cameras = [SMALL, other, SMALL]
    drawn = GsplatRasterizer("cpu", recorder).render_views(gaussians, cameras, poses(3))
    (call,) = recorder.calls
    assert call["viewmats"].shape == (3, 4, 4) and call["Ks"].shape == (3, 3, 3) and call["render_mode"] == "RGB+ED"
    np.testing.assert_allclose(call["viewmats"][1].numpy(), np.linalg.inv(poses(3)[1]), atol=1e-6)
    np.testing.assert_allclose(call["Ks"][1].numpy(), other.matrix, rtol=1e-6)
    truth = ReferenceRasterizer().render_views(gaussians.to("cpu", torch.float64), cameras, poses(3))
    assert len(drawn) == len(truth) == 3
    for a, b in zip(drawn, truth, strict=True):
        assert a.rgb.shape == (37, 45, 3) and a.depth.shape == a.alpha.shape == (37, 45)
        torch.testing.assert_close(a.rgb.double(), b.rgb, atol=1e-5, rtol=0)
        torch.testing.assert_close(a.alpha.double(), b.alpha, atol=1e-5, rtol=0)
        torch.testing.assert_close(a.depth.double(), b.depth, atol=1e-5, rtol=1e-5)


def test_gradients_of_several_views_add_up() -> None:
    def gradient(rasterizer: Rasterizer) -> Tensor:
        leaves = SCENE.gaussians().map(lambda tensor: tensor.requires_grad_())
        views = rasterizer.render_views(leaves, [SMALL, SMALL], poses(2))
        sum(view.rgb.sum() + view.depth.sum() for view in views).backward()  # type: ignore[union-attr]
        assert leaves.means.grad is not None
        return leaves.means.grad

    ours, truth = (gradient(rasterizer) for rasterizer in (GsplatRasterizer("cpu", Recorder()), NumbaRasterizer()))
    assert float((ours - truth).norm() / truth.norm()) < 1e-4


@pytest.mark.parametrize("rasterizer", [GsplatRasterizer("cpu", gsplat_stand_in.rasterization), ReferenceRasterizer()])
def test_views_of_different_sizes_or_without_poses_are_refused(rasterizer: Rasterizer) -> None:
    gaussians = SCENE.gaussians()
    assert rasterizer.render_views(gaussians, [], []) == []
    with pytest.raises(ValueError, match="2 cameras and 1 poses"):
        rasterizer.render_views(gaussians, [SMALL, SMALL], poses(1))
    with pytest.raises(ValueError, match=r"sizes \[\(20, 10\), \(45, 37\)\]: want one size"):
        rasterizer.render_views(gaussians, [SMALL, SMALL.resized(20, 10)], poses(2))


@pytest.mark.parametrize(("classes", "passes"), [(1, [1]), (32, [32]), (33, [32, 1]), (70, [32, 32, 6])])
def test_lifting_takes_passes_of_32_classes(classes: int, passes: list[int]) -> None:
    recorder = Recorder()
    labels = SCENE.labels(classes)
    lifted = GsplatRasterizer("cpu", recorder).lift(SCENE.gaussians(), SMALL, SCENE.T_map_camera, labels, classes)
    assert [call["colors"].shape for call in recorder.calls] == [(120, channels) for channels in passes]
    assert all(call["render_mode"] == "RGB" and not call["means"].requires_grad for call in recorder.calls)
    truth = NumbaRasterizer().lift(SCENE.gaussians(), SMALL, SCENE.T_map_camera, labels, classes)
    assert lifted.dtype == torch.float32 and not lifted.requires_grad
    torch.testing.assert_close(lifted, truth, atol=2e-5, rtol=1e-5)


def test_lifting_works_where_gradients_are_off() -> None:
    labels, rasterizer = SCENE.labels(3), GsplatRasterizer("cpu", gsplat_stand_in.rasterization)
    expected = rasterizer.lift(SCENE.gaussians(), SMALL, SCENE.T_map_camera, labels, 3)
    with torch.no_grad():
        assert torch.equal(rasterizer.lift(SCENE.gaussians(), SMALL, SCENE.T_map_camera, labels, 3), expected)


@pytest.mark.parametrize(("channels", "passes"), [(32, [32]), (35, [32, 3])])
def test_features_take_passes_of_32_channels(channels: int, passes: list[int]) -> None:
    recorder = Recorder()
    features = torch.ones(120, channels)
    image, alpha = GsplatRasterizer("cpu", recorder).render_features(
        SCENE.gaussians(), SMALL, SCENE.T_map_camera, features
    )
    assert [call["colors"].shape[1] for call in recorder.calls] == passes
    assert image.shape == (37, 45, channels)
    torch.testing.assert_close(image, alpha[..., None].expand(image.shape), atol=1e-5, rtol=0)


def test_a_view_is_uploaded_once() -> None:
    recorder = Recorder()
    rasterizer = GsplatRasterizer("cpu", recorder)
    for pose in (SCENE.T_map_camera, SCENE.T_map_camera.copy()):
        rasterizer.render(SCENE.gaussians(), SMALL, pose)
    first, second = (call["viewmats"].data_ptr() for call in recorder.calls)
    assert first == second


def test_a_pose_changed_in_place_is_not_taken_from_the_cache() -> None:
    cache, pose = CameraCache(torch.device("cpu")), SCENE.T_map_camera.copy()
    before = cache.batch([SMALL], [pose])[0].clone()
    pose[:3, 3] += 1.0
    after, _ = cache.batch([SMALL], [pose])
    assert len(cache) == 2 and not torch.equal(before, after)
    np.testing.assert_allclose(after[0].numpy(), np.linalg.inv(pose), atol=1e-6)


def test_camera_cache_is_bounded_and_drops_the_least_recently_used() -> None:
    cache, three = CameraCache(torch.device("cpu"), max_cameras=2), poses(3)

    def address(pose: Float64Array) -> int:
        return cache.batch([SMALL], [pose])[0].data_ptr()

    kept = [address(three[0]), address(three[1])]
    assert address(three[0]) == kept[0]
    address(three[2])
    assert len(cache) == 2 and address(three[0]) == kept[0]


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Names of all operations that run inside it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(function.overloadpacket.__name__)
        return function(*args, **(kwargs or {}))


def test_rendering_a_known_view_neither_copies_nor_waits() -> None:
    """The host waits for a value that is read back, a size that depends on values, and a copy between devices."""

    def black(**arguments: Any) -> Any:
        shape = (len(arguments["viewmats"]), arguments["height"], arguments["width"])
        return torch.zeros(*shape, 4) + arguments["colors"].sum(), torch.zeros(*shape, 1), {}

    rasterizer, leaves = GsplatRasterizer("cpu", black), SCENE.gaussians().map(lambda tensor: tensor.requires_grad_())
    rasterizer.render_views(leaves, [SMALL, SMALL], poses(2))
    with Operations() as operations:
        rasterizer.render(leaves, SMALL, poses(2)[1])
        rasterizer.render_views(leaves, [SMALL, SMALL], poses(2))
    waiting = {"_local_scalar_dense", "nonzero", "_to_copy", "copy_", "item", "equal", "masked_select", "unique"}
    assert operations.names and not waiting & set(operations.names)


def test_an_empty_map_makes_no_call_of_gsplat() -> None:
    recorder = Recorder()
    rasterizer, nothing = GsplatRasterizer("cpu", recorder), Gaussians.empty()
    views = rasterizer.render_views(nothing, [SMALL, SMALL], poses(2))
    image, _ = rasterizer.render_features(nothing, SMALL, poses(1)[0], torch.zeros(0, 5))
    lifted = rasterizer.lift(nothing, SMALL, poses(1)[0], SCENE.labels(40), 40)
    assert not recorder.calls and image.shape == (37, 45, 5) and lifted.shape == (0, 40)
    assert all(float(view.alpha.max()) == 0 and view.rgb.shape == (37, 45, 3) for view in views)


def test_memory_limit_is_set_as_a_share_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[float, int]] = []

    class Properties:
        total_memory = 8 * 2**30

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: Properties)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda share, index: calls.append((share, index))
    )
    limit_vram(torch.device("cuda"), 2.0)
    limit_vram(torch.device("cuda:0"), 100.0)
    limit_vram(torch.device("cuda"), 0.0)
    limit_vram(torch.device("cpu"), 2.0)
    assert calls == [(0.25, 1), (1.0, 0)]


def test_the_setting_reaches_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []
    monkeypatch.setattr(gsplat, "_gsplat_rasterization", lambda device: gsplat_stand_in.rasterization)
    monkeypatch.setattr(gsplat, "limit_vram", lambda device, vram_gb: limits.append(vram_gb))
    make_rasterizer("auto", "cuda", 3.5)
    assert limits == [3.5]


def test_arguments_exist_in_gsplat() -> None:
    gsplat = pytest.importorskip("gsplat", reason="gsplat is not installed: no GPU")
    theirs = inspect.signature(gsplat.rasterization).parameters
    assert set(inspect.signature(gsplat_stand_in.rasterization).parameters) <= set(theirs)
