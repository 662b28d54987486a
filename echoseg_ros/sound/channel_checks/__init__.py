"""Checks of a recording for dead, clipped, inverted and swapped channels and a wrong sample rate."""
