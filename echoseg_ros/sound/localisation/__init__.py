"""Localisation: from the evidence of many windows to sources in the map and the instances they may be in."""
