"""How a node process starts and ends: transport profile, executor, SIGINT. Imports nothing heavy."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from echoseg_ros.cores import share_cores
from echoseg_ros.errors import EchosegError
from echoseg_ros.installed_files import config_file

if TYPE_CHECKING:
    from rclpy.context import Context

# Jazzy reads the second name only, Kilted the first.
_PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")


def use_shared_memory_profile(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables to set before rclpy.init so that Fast DDS carries images; {} where the user has chosen one."""
    environment = os.environ if environment is None else environment
    if any(environment.get(name) for name in _PROFILE_VARIABLES):
        return {}
    profile = config_file("fastdds_shm.xml")
    return {name: str(profile) for name in _PROFILE_VARIABLES} if profile else {}


def echoseg_node(arguments: list[str] | None = None) -> int:
    """Command `echoseg_node`: run it until it is interrupted; returns the exit code."""
    return run_node("echoseg_ros.nodes.echoseg_node", "EchosegNode", arguments)


def sound_node(arguments: list[str] | None = None) -> int:
    """Command `sound_node`: run it until it is interrupted; returns the exit code."""
    return run_node("echoseg_ros.nodes.sound_node", "SoundNode", arguments)


def object_node(arguments: list[str] | None = None) -> int:
    """Command `object_node`: run it until it is interrupted; returns the exit code."""
    return run_node("echoseg_ros.nodes.object_node", "ObjectNode", arguments)


def run_node(module: str, name: str, arguments: list[str] | None = None) -> int:
    """Import a node's class, spin a node until SIGINT or SIGTERM, end it cleanly. Returns the exit code, 2 after a bad setting.

    The import is part of it: it takes seconds, and an interrupt meanwhile must not end in a traceback.
    """
    share_cores()
    os.environ.update(use_shared_memory_profile())
    try:
        return _spin(getattr(importlib.import_module(module), name), arguments)
    except KeyboardInterrupt:
        return 0


@contextmanager
def until_shutdown(context: Context | None = None) -> Iterator[None]:
    """Leave the block quietly when another thread shuts the context down. context: default is rclpy's own.

    SIGINT ends the context in a thread of rclpy's at any point of a spin; whatever touches the context next may raise
    RCLError or InvalidHandle (Kilted) instead of ExternalShutdownException.
    """
    import rclpy
    from rclpy._rclpy_pybind11 import InvalidHandle, RCLError  # RCLError has no public name
    from rclpy.executors import ExternalShutdownException

    try:
        yield
    except ExternalShutdownException:
        pass
    except (RCLError, InvalidHandle):
        if rclpy.ok(context=context):
            raise


def _spin(make: Callable[[], Any], arguments: list[str] | None) -> int:
    import rclpy
    from rclpy.exceptions import ParameterException
    from rclpy.executors import SingleThreadedExecutor

    rclpy.init(args=arguments)
    node = None
    try:
        with until_shutdown():
            node = make()
            executor = SingleThreadedExecutor()
            executor.add_node(node)
            executor.spin()
    except KeyboardInterrupt:
        pass
    except (EchosegError, ParameterException) as error:
        rclpy.logging.get_logger("echoseg").fatal(str(error))
        return 2
    finally:
        if node is not None:
            node.finish()
            node.destroy_node()
        rclpy.try_shutdown()
    return 0
