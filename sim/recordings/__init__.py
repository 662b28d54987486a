"""Simulated recordings: camera paths, bags of rooms and RGB-D folders, and scenes of the benchmark."""
