"""Benchmark of the map: image quality in held-out views, cost of a step, long runs."""
