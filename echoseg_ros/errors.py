"""Every error the package raises on purpose: one root, one class per kind of cause.

The message always names the offending value and what would be right; only the command line turns it into an exit code.
"""


class EchosegError(Exception):
    """Root of the package's errors."""


class ConfigError(EchosegError):
    """A setting is unknown, of the wrong type, or out of its bounds."""


class BagError(EchosegError):
    """A bag is missing, truncated, corrupt, or lacks a topic."""


class FolderError(EchosegError):
    """An RGB-D folder or the folder of a finished run does not have the promised layout."""


class DatasetError(EchosegError):
    """A scene of a data set lacks parts, or a part of it cannot be read."""


class ArrayError(EchosegError):
    """A microphone array's description is wrong or does not fit the audio."""


class AudioFormatError(EchosegError):
    """Audio arrives in a format from which no phase can be read."""


class ImageFormatError(EchosegError):
    """An image or depth image has a wrong size or encoding."""


class CloudFormatError(EchosegError):
    """A point cloud lacks its coordinates, or holds less than its size says."""


class PoseError(EchosegError):
    """A pose is not finite or not a rigid transform."""


class TimeError(EchosegError):
    """Stamps go backwards or do not belong together."""


class MapFileError(EchosegError):
    """A map file cannot be read as 3D Gaussians."""


class BackendError(EchosegError):
    """A rasterizer or mask backend is unknown or cannot run on this machine."""
