"""Mask backends: they propose candidate objects in a view, as labels of its pixels."""
