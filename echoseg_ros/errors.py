"""All errors that the package raises on purpose: one root, one class per kind of cause.

The message names the offending value and what would be right. Only the command line turns an error into an exit code.
"""


class EchosegError(Exception):
    """Root of the package's errors."""


class ConfigError(EchosegError):
    """A setting is unknown, of the wrong type, or out of its bounds."""


class BagError(EchosegError):
    """A bag is missing, truncated, damaged, or lacks a topic."""


class FolderError(EchosegError):
    """An RGB-D folder or the folder of a run lacks a file, or a file in it cannot be read."""


class DatasetError(EchosegError):
    """A scene of the data set lacks a part, or a part cannot be read."""


class ArrayError(EchosegError):
    """The description of a microphone array is wrong or does not fit the audio."""


class AudioFormatError(EchosegError):
    """The format of the audio is unknown or has no phase."""


class ImageFormatError(EchosegError):
    """A colour, depth or mask image or its camera_info has a wrong size or encoding."""


class CloudFormatError(EchosegError):
    """A point cloud lacks coordinates, or has fewer bytes than its size needs."""


class PoseError(EchosegError):
    """A pose is not finite or not a rigid transform."""


class TimeError(EchosegError):
    """Stamps go backwards or do not match."""


class MapFileError(EchosegError):
    """A map file is missing, damaged, or does not hold 3D Gaussians."""


class BackendError(EchosegError):
    """A rasterizer or mask backend is unknown, or cannot run on this machine."""
