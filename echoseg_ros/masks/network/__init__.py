"""Masks of a small network, trained on simulated rooms, whose weights are part of the package."""
