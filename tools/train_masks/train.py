"""Training of the grouping network on stored views, for a given time on the CPU.

    python -m train_masks.train WEIGHTS.npz --views DIR --maps DIR --minutes 50 [--threads 1 --resume CHECKPOINT]

Files that are added to the folders during the training are used as well. The learning rate falls with the remaining time.
The written weights are a running mean over the steps; a checkpoint is written beside them.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from echoseg_ros.masks.network.model import OFFSET_UNIT_PX, GroupingNetwork
from echoseg_ros.masks.network.weights import load_weights, save_weights
from train_masks.samples import Sample, View, load_views, make_sample

# Samples of a batch of crops, and of a batch of full views.
_BATCH, _FULL_VIEW_BATCH = 8, 3
# One batch of this many consists of full views.
_FULL_VIEW_EVERY = 4
# Sizes of full views (height, width), and the probability of the first one.
_FULL_VIEW_SHAPES, _SQUARE_SHARE = ((252, 252), (192, 256)), 0.6
# Default learning rate of Adam.
_LEARNING_RATE = 2.5e-3
# Steps over which the learning rate rises.
_WARM_UP_STEPS = 100
# Decay of the running mean of the weights, for each step.
_MEAN_DECAY = 0.998
# Share of the samples that come from maps.
_MAP_SHARE = 0.6
# Time between two searches for new files, and between two checkpoints, s.
_RELOAD_S, _SAVE_S = 120.0, 120.0
# Steps between two lines of progress.
_REPORT_STEPS = 50
# Limit of the gradient's norm.
_MAX_GRADIENT = 5.0


class Pool:
    """All stored views; grows when files are added to the folders."""

    def __init__(self, views: Path, maps: Path) -> None:
        self._folders, self._loaded = (views, maps), set[Path]()
        self._views: tuple[list[View], list[View]] = ([], [])
        self._next = 0.0

    def refresh(self) -> None:
        """Load new files, at most once in _RELOAD_S."""
        if time.time() < self._next:
            return
        self._next = time.time() + _RELOAD_S
        for folder, views in zip(self._folders, self._views, strict=True):
            for file in sorted(set(folder.glob("[0-9]*.npz")) - self._loaded):
                if ".part" not in file.name:
                    views.extend(load_views(file))
                    self._loaded.add(file)

    def draw_batch(self, rng: np.random.Generator, full_views: bool) -> list[Sample]:
        """Random samples of one size: crops, or full views."""
        if full_views:
            shape = _FULL_VIEW_SHAPES[0] if rng.random() < _SQUARE_SHARE else _FULL_VIEW_SHAPES[1]
            chosen: list[View] = []
            while len(chosen) < _FULL_VIEW_BATCH:
                view = self._draw_view(rng)
                if view.ids.shape == shape:
                    chosen.append(view)
        else:
            chosen = [self._draw_view(rng) for _ in range(_BATCH)]
        return [make_sample(view, rng, full_views) for view in chosen]

    def _draw_view(self, rng: np.random.Generator) -> View:
        views, maps = self._views
        pool = maps if maps and rng.random() < _MAP_SHARE else views
        return pool[rng.integers(len(pool))]

    def __str__(self) -> str:
        return f"{len(self._loaded)} rooms, {len(self._views[0])} rendered and {len(self._views[1])} map views"


def loss_of(
    network: GroupingNetwork, batch: Sequence[Sample], bfloat16: bool = False
) -> tuple[Tensor, dict[str, float]]:
    """Loss of a batch and its parts by name. bfloat16: convolutions in bfloat16, if the processor has it."""
    inputs, target, weight, votes, vote_weight = (
        torch.from_numpy(np.stack([getattr(sample, name) for sample in batch]))
        for name in ("inputs", "target", "weight", "votes", "vote_weight")
    )
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        logit, voted = network(inputs.contiguous(memory_format=torch.channels_last))
    logit, voted = logit[:, 0].float(), voted.float()
    entropy = (functional.binary_cross_entropy_with_logits(logit, target, reduction="none") * weight).mean()
    probability = torch.sigmoid(logit) * (weight > 0)
    overlap = 2 * (probability * target).sum() / (probability.sum() + (target * (weight > 0)).sum() + 50)
    side = torch.exp(votes[:, 2])  # in OFFSET_UNIT_PX
    distance = functional.smooth_l1_loss(voted[:, :2], votes[:, :2], reduction="none", beta=0.05).sum(dim=1)
    total = vote_weight.sum() + 1e-3
    offset = (distance / torch.clamp(side, min=6 / OFFSET_UNIT_PX) * vote_weight).sum() / total
    size = (functional.smooth_l1_loss(voted[:, 2], votes[:, 2], reduction="none", beta=0.2) * vote_weight).sum() / total
    loss = entropy + 0.5 * (1 - overlap) + 0.5 * offset + 0.1 * size
    parts = {"entropy": entropy, "overlap": overlap, "offset": offset, "size": size}
    return loss, {name: float(value.detach()) for name, value in parts.items()}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--views", type=Path, required=True)
    parser.add_argument("--maps", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=50.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--rate", type=float, default=_LEARNING_RATE)
    parser.add_argument("--bfloat16", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Train for the given time and write the weights."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    rng = np.random.default_rng(arguments.seed)
    network = GroupingNetwork()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if arguments.resume:
        network.load_state_dict(_load_state(arguments.resume))
    mean = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=arguments.rate, weight_decay=1e-3)
    pool = Pool(arguments.views, arguments.maps)
    start, saved, step, sums = time.time(), time.time(), 0, dict[str, float]()
    while (done := (time.time() - start) / (60 * arguments.minutes)) < 1:
        pool.refresh()
        rate = arguments.rate * min(1, (step + 1) / _WARM_UP_STEPS) * (0.02 + 0.49 * (1 + math.cos(math.pi * done)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss, parts = loss_of(
            network, pool.draw_batch(rng, step % _FULL_VIEW_EVERY == _FULL_VIEW_EVERY - 1), arguments.bfloat16
        )
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(network.parameters(), _MAX_GRADIENT)
        optimizer.step()
        step += 1
        _update_mean(mean, network, min(_MEAN_DECAY, step / (step + 20)))
        sums = {name: sums.get(name, 0.0) + value / _REPORT_STEPS for name, value in parts.items()}
        if step % _REPORT_STEPS == 0:
            losses = " ".join(f"{name} {value:.4f}" for name, value in sums.items())
            print(f"{step} steps, {(time.time() - start) / 60:.1f} min, {pool}: {losses}", flush=True)
            sums = {}
        if time.time() > saved + _SAVE_S:
            _save(arguments.out, mean)
            saved = time.time()
    _save(arguments.out, mean)


@torch.no_grad()
def _update_mean(mean: GroupingNetwork, network: GroupingNetwork, decay: float) -> None:
    """Move the running mean of the weights towards the network's weights, in place."""
    for average, value in zip(mean.state_dict().values(), network.state_dict().values(), strict=True):
        if average.dtype.is_floating_point:
            average.lerp_(value, 1 - decay)
        else:
            average.copy_(value)


def _load_state(file: Path) -> dict[str, Tensor]:
    """State of a network: weights in half precision (.npz), or a checkpoint."""
    state: dict[str, Tensor] = (
        load_weights(file).state_dict() if file.suffix == ".npz" else torch.load(file, weights_only=True)
    )
    return state


def _save(file: Path, network: GroupingNetwork) -> None:
    save_weights(file, network)
    torch.save(network.state_dict(), file.with_suffix(".checkpoint"))


if __name__ == "__main__":
    main()
