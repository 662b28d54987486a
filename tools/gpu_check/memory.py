"""The GPU's memory and its queue; on a CPU there is neither."""

from __future__ import annotations

import torch


def wait(device: str) -> None:
    """Until the GPU has done what it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def reset_peak(device: str) -> None:
    """Give back what is free and start counting the peak anew."""
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_vram_gb(device: str) -> float:
    """Most GiB that torch's tensors held since `reset_peak`; 0 on a CPU."""
    return torch.cuda.max_memory_allocated(device) / 2**30 if torch.device(device).type == "cuda" else 0.0
