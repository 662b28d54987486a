"""Instances in the map and the choice of the one that sounds."""
