"""Microphone arrays: geometry, array files, delays of near and far sounds, and sets of directions."""
