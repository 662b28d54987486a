"""Memory and queue of the GPU; on a CPU, these functions do nothing."""

from __future__ import annotations

import torch


def wait(device: str) -> None:
    """Wait until the GPU has finished all queued work."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def reset_peak(device: str) -> None:
    """Release unused memory and reset the peak."""
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_vram_gb(device: str) -> float:
    """Peak memory of torch's tensors since `reset_peak`, GiB; 0 on a CPU."""
    return torch.cuda.max_memory_allocated(device) / 2**30 if torch.device(device).type == "cuda" else 0.0
