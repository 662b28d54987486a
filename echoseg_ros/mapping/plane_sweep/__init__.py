"""Plane sweep: depth of keyframes by parallax, for cameras without a depth sensor."""
