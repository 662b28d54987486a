"""Checks of the map on a GPU in one command: correctness of gsplat, speed and quality. See docs/gpu.md."""
