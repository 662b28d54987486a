"""Train the grouping network on stored views, for a given time on the CPU, and write its weights.

    python -m train_masks.train WEIGHTS.npz --views DIR --maps DIR --minutes 50 [--threads 1 --resume CHECKPOINT]

New rooms that appear in the folders while it runs are taken up. The learning rate falls with the time that is left; the
weights written are a running mean over the steps. A checkpoint lies beside the weights.
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

_BATCH, _WHOLE_BATCH = 8, 3
_WHOLE_EVERY = 4  # one batch in so many is of whole views
_LEARNING_RATE = 2.5e-3
_WARM_UP_STEPS = 100
_MEAN_DECAY = 0.998
_MAP_SHARE = 0.6
_RELOAD_S, _SAVE_S = 120.0, 120.0


class Pool:
    """The views there are; grows as files appear."""

    def __init__(self, views: Path, maps: Path) -> None:
        self._folders, self._known = (views, maps), set[Path]()
        self._views: tuple[list[View], list[View]] = ([], [])
        self._next = 0.0

    def refresh(self) -> None:
        """Load what is new, at most every _RELOAD_S."""
        if time.time() < self._next:
            return
        self._next = time.time() + _RELOAD_S
        for folder, views in zip(self._folders, self._views, strict=True):
            for file in sorted(set(folder.glob("[0-9]*.npz")) - self._known):
                if ".part" not in file.name:
                    views.extend(load_views(file))
                    self._known.add(file)

    def draw(self, rng: np.random.Generator, whole: bool) -> list[Sample]:
        """A batch, all of one size."""
        if whole:
            shape = (252, 252) if rng.random() < 0.6 else (192, 256)
            chosen: list[View] = []
            while len(chosen) < _WHOLE_BATCH:
                view = self._one(rng)
                if view.ids.shape == shape:
                    chosen.append(view)
        else:
            chosen = [self._one(rng) for _ in range(_BATCH)]
        return [make_sample(view, rng, whole) for view in chosen]

    def _one(self, rng: np.random.Generator) -> View:
        views, maps = self._views
        pool = maps if maps and rng.random() < _MAP_SHARE else views
        return pool[rng.integers(len(pool))]

    def __str__(self) -> str:
        return f"{len(self._known)} rooms, {len(self._views[0])} rendered and {len(self._views[1])} map views"


def loss_of(network: GroupingNetwork, batch: Sequence[Sample], short: bool = False) -> tuple[Tensor, dict[str, float]]:
    """The loss of a batch and its parts. short: convolutions in bfloat16, for processors that have it."""
    inputs, target, weight, votes, vote_weight = (
        torch.from_numpy(np.stack([getattr(sample, name) for sample in batch]))
        for name in ("inputs", "target", "weight", "votes", "vote_weight")
    )
    with torch.autocast("cpu", torch.bfloat16, enabled=short):
        logit, voted = network(inputs.contiguous(memory_format=torch.channels_last))
    logit, voted = logit[:, 0].float(), voted.float()
    entropy = (functional.binary_cross_entropy_with_logits(logit, target, reduction="none") * weight).mean()
    seen = torch.sigmoid(logit) * (weight > 0)
    overlap = 2 * (seen * target).sum() / (seen.sum() + (target * (weight > 0)).sum() + 50)
    side = torch.exp(votes[:, 2])  # in OFFSET_UNIT_PX
    miss = functional.smooth_l1_loss(voted[:, :2], votes[:, :2], reduction="none", beta=0.05).sum(dim=1)
    total = vote_weight.sum() + 1e-3
    offset = (miss / torch.clamp(side, min=6 / OFFSET_UNIT_PX) * vote_weight).sum() / total
    size = (functional.smooth_l1_loss(voted[:, 2], votes[:, 2], reduction="none", beta=0.2) * vote_weight).sum() / total
    loss = entropy + 0.5 * (1 - overlap) + 0.5 * offset + 0.1 * size
    parts = {"entropy": entropy, "overlap": overlap, "offset": offset, "size": size}
    return loss, {name: float(value.detach()) for name, value in parts.items()}


def main() -> None:
    """Train until the time is over."""
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
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    rng = np.random.default_rng(arguments.seed)
    network = GroupingNetwork().to(memory_format=torch.channels_last)
    if arguments.resume:
        network.load_state_dict(_state(arguments.resume))
    mean = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=arguments.rate, weight_decay=1e-3)
    pool = Pool(arguments.views, arguments.maps)
    start, saved, step, sums = time.time(), time.time(), 0, dict[str, float]()
    while (done := (time.time() - start) / (60 * arguments.minutes)) < 1:
        pool.refresh()
        rate = arguments.rate * min(1, (step + 1) / _WARM_UP_STEPS) * (0.02 + 0.49 * (1 + math.cos(math.pi * done)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss, parts = loss_of(network, pool.draw(rng, step % _WHOLE_EVERY == 3), arguments.bfloat16)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        step += 1
        _follow(mean, network, min(_MEAN_DECAY, step / (step + 20)))
        sums = {name: sums.get(name, 0.0) + value / 50 for name, value in parts.items()}
        if step % 50 == 0:
            said = " ".join(f"{name} {value:.4f}" for name, value in sums.items())
            print(f"{step} steps, {(time.time() - start) / 60:.1f} min, {pool}: {said}", flush=True)
            sums = {}
        if time.time() > saved + _SAVE_S:
            _save(arguments.out, mean)
            saved = time.time()
    _save(arguments.out, mean)


@torch.no_grad()
def _follow(mean: GroupingNetwork, network: GroupingNetwork, decay: float) -> None:
    for slow, fast in zip(mean.state_dict().values(), network.state_dict().values(), strict=True):
        if slow.dtype.is_floating_point:
            slow.lerp_(fast, 1 - decay)
        else:
            slow.copy_(fast)


def _state(file: Path) -> dict[str, Tensor]:
    """What to go on from: weights, rounded to half precision, or a checkpoint."""
    return load_weights(file).state_dict() if file.suffix == ".npz" else torch.load(file, weights_only=True)


def _save(file: Path, network: GroupingNetwork) -> None:
    save_weights(file, network)
    torch.save(network.state_dict(), file.with_suffix(".checkpoint"))


if __name__ == "__main__":
    main()
