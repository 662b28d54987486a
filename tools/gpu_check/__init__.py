"""One command for a machine with a GPU: is gsplat right, how fast is the map on it, how good is it? See docs/gpu.md."""
