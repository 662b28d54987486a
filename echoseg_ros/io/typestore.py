"""Message types for reading and writing bags without ROS."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

# Packages whose message definitions lie in messages/.
PACKAGES = ("audio_common_msgs", "vision_msgs")


@lru_cache(maxsize=1)
def typestore() -> Typestore:
    """Types of ROS 2 Jazzy, audio_common_msgs and vision_msgs; made once."""
    store = get_typestore(Stores.ROS2_JAZZY)
    types = {}
    for package in PACKAGES:
        for file in sorted((files("echoseg_ros.io") / "messages" / package / "msg").iterdir(), key=lambda f: f.name):
            if file.name.endswith(".msg"):
                types.update(get_types_from_msg(file.read_text(), f"{package}/msg/{file.name[:-4]}"))
    store.register(types)
    return store
