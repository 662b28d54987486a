"""Rasterizers: they render Gaussians into views and lift labels onto them."""
