"""Benchmark of sound localisation in simulated rooms with known sources."""
