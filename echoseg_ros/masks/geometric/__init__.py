"""Masks from depth alone: connected components of what stands out of the dominant planes."""
