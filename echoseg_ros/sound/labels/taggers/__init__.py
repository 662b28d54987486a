"""Taggers: names for a sound by rules (the default, without weights) or by a model from a local folder."""
