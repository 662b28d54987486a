"""Live 3D audio-visual segmentation: which object in the map makes that sound."""

__version__ = "0.1.0"
