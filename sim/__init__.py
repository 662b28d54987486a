"""Simulator of rooms, cameras and acoustics: recordings with truth."""
