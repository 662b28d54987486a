"""The rasterizer on the CPU, as numba kernels."""
