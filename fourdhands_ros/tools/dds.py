"""What programs that publish large images ask of the middleware; light to import, before ROS is there."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path


def make_room_for_images(environment: MutableMapping[str, str]) -> None:
    """Have Fast DDS make its shared memory large enough for images, unless the user has said what it reads."""
    names = "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"  # of Fast DDS 2 and 3
    if not any(name in environment for name in names):
        environment.update(dict.fromkeys(names, str(Path(__file__).with_name("fastdds_large_images.xml"))))
