"""What a Ray cluster's pieces of work tell of themselves. Apart, as the process that begins for it needs no other module."""

from __future__ import annotations


class Notes:
    """Ray's actor to whom pieces of work tell how far they are. It may be lost with its node, and begins anew without what it
    knew: nothing depends on it but what is shown."""

    def __init__(self) -> None:
        self._said: dict[int, tuple[int, int, int]] = {}

    def begin(self, number: int) -> None:
        """A piece begins, or begins anew."""
        self._said[number] = self._said.get(number, (0, 0, 0))[0] + 1, 0, 0

    def at(self, number: int, done: int, total: int) -> None:
        """So much of a piece is done."""
        self._said[number] = self._said.get(number, (1, 0, 0))[0], done, total

    def said(self, under_way: set[int]) -> dict[int, tuple[int, int, int]]:
        """Of those pieces how often each was begun, what of it is done, and of how much. The others are forgotten."""
        self._said = {number: one for number, one in self._said.items() if number in under_way}
        return self._said
