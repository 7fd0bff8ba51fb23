"""A limit of the system's on the size of files, as on a full disk, for a process and those that it starts."""

import sys

_LIMITED = (
    "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
)


def limited(size: int, *arguments) -> list[str]:
    """The command of a Python process that can write no file beyond `size` bytes.

    It sets the limit itself: what subprocess calls between fork and exec may wait for ever for another thread's lock.
    """
    return [sys.executable, "-c", _LIMITED, str(size), *map(str, arguments)]
