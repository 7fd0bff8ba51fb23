"""A one-slot mailbox between two threads: the newest item wins."""

from __future__ import annotations

import threading
from typing import Any


class Mailbox:
    """Holds the newest item only."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._item = None
        self._closed = False

    def put(self, item: Any) -> bool:
        """Put an item in; True where it replaced one that nobody had taken."""
        with self._condition:
            replaced = self._item is not None
            self._item = item
            self._condition.notify()
        return replaced

    def take(self) -> Any:
        """Wait for an item and take it out; None once the mailbox is closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._item is not None or self._closed)
            item, self._item = self._item, None
            return None if self._closed else item

    def close(self) -> None:
        """Wake whoever waits, for good."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
