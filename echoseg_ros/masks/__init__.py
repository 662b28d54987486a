"""Mask proposals for a keyframe, one backend a file."""
