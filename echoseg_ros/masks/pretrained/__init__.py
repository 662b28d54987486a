"""Masks of pretrained models from local folders: SAM 2.1 with a detector, and RF-DETR."""
