"""ROS domains of the tests' own: what else runs on this computer, such as this suite a second time, hears nothing of them."""

from __future__ import annotations

import fcntl
import functools
import os
import tempfile
from pathlib import Path


class Domain:
    """A domain that no other test uses until `close`. number: from 1 to 100, whose ports no other program is given."""

    def __init__(self):
        for offset in range(100):
            self.number = 1 + (os.getpid() + offset) % 100
            try:
                self._file = open(Path(tempfile.gettempdir()) / f"ros_domain_{self.number}.lock", "w")
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError:  # in use, or another user's
                continue
        raise RuntimeError("all of the hundred ROS domains for tests are in use")

    def close(self) -> None:
        """Let others have it."""
        self._file.close()


@functools.cache
def process_domain() -> int:
    """The number of a domain that is kept as long as this process runs."""
    process_domain.kept = Domain()
    return process_domain.kept.number
