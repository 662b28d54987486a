"""The mean of several weights of one training, which may be better than each of them.

python -m train_masks.average OUT.npz A.npz B.npz ...
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from echoseg_ros.masks.network.weights import load_weights, save_weights


def main() -> None:
    """Write the mean of the given weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("weights", type=Path, nargs="+")
    arguments = parser.parse_args()
    networks = [load_weights(file) for file in arguments.weights]
    states = [network.state_dict() for network in networks]
    mean = {
        name: torch.stack([state[name] for state in states]).mean(dim=0) if value.dtype.is_floating_point else value
        for name, value in states[0].items()
    }
    networks[0].load_state_dict(mean)
    save_weights(arguments.out, networks[0])


if __name__ == "__main__":
    main()
