"""Simulated rooms, cameras and acoustics with known truth."""
