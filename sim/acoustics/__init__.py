"""Acoustics of a box room: image sources, receivers, source signals and the audio of an array."""
