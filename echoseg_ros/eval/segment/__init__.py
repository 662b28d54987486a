"""Evaluation of segmentation: masks, choice of the sounding instance, comparison with the reference method."""
