"""What becomes of many pieces of work: a live table in a terminal, and a line now and then where stderr is none."""

from __future__ import annotations

import shutil
import sys
import time
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tqdm import tqdm
from tqdm.utils import disp_trim

from .errors import FourDHandsError

Key = TypeVar("Key", bound=Hashable)

PERIOD = 30.0
"""Seconds between two lines where there is no terminal."""
_DRAWN = 0.2
"""Seconds between two drawings of the table."""
_WAITING, _WORKING, _DONE, _FAILED = "waiting", "working", "done", "failed"
_HEAD = f"  {'bag':<28} {'state':<8} {'done':>20} {'a second':>9} {'retries':>8}"


@dataclass
class _Piece:
    """begun: when, and with how much of it done by an earlier run. tries: how often it was begun."""

    name: str
    state: str = _WAITING
    done: int = 0
    total: int = 0
    begun: tuple[float, int | None] = (0.0, None)
    tries: int = 0
    reason: str = ""

    def rate(self) -> float:
        seconds = time.monotonic() - self.begun[0]
        return (self.done - (self.begun[1] or 0)) / seconds if seconds > 0 else 0.0

    def row(self, unit: str) -> str:
        head = f"  {disp_trim(self.name, 28):<28} {self.state:<8}"
        if self.state == _FAILED:
            return f"{head} {self.reason}"
        done = f"{self.done} of {self.total} {unit}s" if self.total else ""
        rate = f"{self.rate():.1f}" if self.total else ""
        return f"{head} {done:>20} {rate:>9} {max(self.tries - 1, 0):>8}"

    def words(self) -> str:
        return f"{self.name} {self.done} of {self.total}" if self.total else self.name


class Board(Generic[Key]):
    """Shows pieces of work, of which others tell. A context manager. May be told of by several threads, but drawn by one.

    unit: of what is counted in a piece. quiet: nothing is shown. failed: why pieces failed, by key.
    Of a single piece there is a progress bar, everywhere; of many one over all, and a row for each that is under way or has
    failed, in a terminal.
    """

    def __init__(self, keys: Iterable[Key], unit: str, quiet: bool) -> None:
        self._pieces = {key: _Piece(name) for key, name in short_names(keys).items()}
        self._unit, self._quiet, self._alone = unit, quiet, len(self._pieces) == 1
        self._live = self._alone or (sys.stderr is not None and sys.stderr.isatty())
        self._bar: tqdm | None = None
        self._lines: list[tqdm] = []
        self._shown = time.monotonic()
        self.failed: dict[Key, str] = {}

    def begin(self, key: Key, tries: int | None = None) -> None:
        """A piece begins, or begins anew. tries: how often it has by now; None for once more."""
        piece = self._pieces[key]
        tries = piece.tries + 1 if tries is None else tries
        if tries > piece.tries:
            piece.state, piece.tries, piece.done, piece.begun = _WORKING, tries, 0, (time.monotonic(), None)

    def at(self, key: Key, done: int, total: int) -> None:
        """So much of a piece is done."""
        piece = self._pieces[key]
        piece.done, piece.total = done, total
        if piece.begun[1] is None and total:  # what an earlier run has done tells nothing of the speed
            piece.begun = piece.begun[0], done

    def end(self, key: Key, error: BaseException | str | None = None) -> None:
        """A piece has ended, well or with an error, whose words are kept."""
        piece = self._pieces[key]
        piece.state = _DONE if error is None else _FAILED
        if error is not None:
            known = isinstance(error, (str, FourDHandsError, OSError))  # a sentence for the user
            self.failed[key] = str(error) if known else f"{type(error).__name__}: {error}"
            again = f"begun {piece.tries} times: " if piece.tries > 1 else ""
            piece.reason = again + " ".join(self.failed[key].replace(str(key), piece.name).split())
            if not (self._live or self._quiet):
                self._write(f"{piece.name} failed: why is told at the end")

    def draw(self, now: bool = False) -> None:
        """Bring what is shown to what is so; now: even if that was just done."""
        passed = time.monotonic() - self._shown
        if self._quiet or (passed < (_DRAWN if self._live else PERIOD) and not now):
            return
        self._shown = time.monotonic()
        if self._live:
            self._draw_bar()
            if not self._alone:
                self._draw_lines(self._rows())
        elif not now:
            self._write(self._summary())

    def _those(self, *states: str) -> list[_Piece]:
        return [piece for piece in self._pieces.values() if piece.state in states]

    def _summary(self) -> str:
        under_way = ", ".join(piece.words() for piece in self._those(_WORKING))
        failed = f", {len(self.failed)} failed" if self.failed else ""
        done = f"{len(self._those(_DONE))} of {len(self._pieces)} done{failed}"
        return f"{done}; under way, in {self._unit}s: {under_way}" if under_way else done

    def _write(self, text: str) -> None:
        tqdm.write(f"fourdhands: {text}", file=sys.stderr)

    def _draw_bar(self) -> None:
        """Over all, or of the only piece."""
        if self._bar is None:
            self._bar = _line(unit=self._unit if self._alone else "bag", position=0)
        bar, (first, *_) = self._bar, self._pieces.values()
        done, total = len(self._those(_DONE, _FAILED)), len(self._pieces)
        if self._alone:
            done, total = first.done, first.total
            bar.initial = first.begun[1] or 0
        bar.n, bar.total = done, total or None
        if self.failed and not self._alone:
            bar.set_postfix_str(f"{len(self.failed)} failed", refresh=False)
        bar.refresh()

    def _rows(self) -> list[str]:
        """Of pieces under way, then of those that failed, as many as the terminal has room for."""
        width, height = _terminal()
        rows = [piece.row(self._unit) for piece in [*self._those(_WORKING), *self._those(_FAILED)[::-1]]]
        room = max(height - 4, 1)
        more = [f"  and {len(rows) - room} more"] if len(rows) > room else []
        return [disp_trim(row, width - 1) for row in [_HEAD, *rows[:room], *more]]

    def _draw_lines(self, texts: list[str]) -> None:
        """Below the bar, a tqdm each, which knows how to move there."""
        texts += [""] * (len(self._lines) - len(texts))
        for number, text in enumerate(texts):
            if number == len(self._lines):
                self._lines.append(_line(total=0, bar_format="{desc}", position=number + 1, leave=False))
            self._lines[number].set_description_str(text)

    def __enter__(self) -> Board[Key]:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self.draw(now=True)
            for bar in [*self._lines[::-1], self._bar]:
                bar.close()


def _terminal() -> tuple[int, int]:
    """Columns and rows, the usual ones where a terminal says that it has none, as those of serial lines and containers do."""
    width, height = shutil.get_terminal_size()
    return width or 80, height or 24


def _line(**options: Any) -> tqdm:
    """A bar or a line, which tqdm would not show in a terminal without a size."""
    line = tqdm(**options)
    width, height = _terminal()
    line.ncols = width - 1 if line.ncols is not None and line.ncols <= 0 else line.ncols
    line.nrows = height if line.nrows is not None and line.nrows <= 0 else line.nrows
    return line


def short_names(keys: Iterable[Key]) -> dict[Key, str]:
    """What paths and URLs are called: their names, and of their folders so much that no two are called alike."""
    left = {key: (str(key).partition("://")[2] or str(key)).strip("/").split("/") for key in keys}
    names, depth = dict.fromkeys(left, ""), 1
    while left:
        called = {key: "/".join(parts[-depth:]) for key, parts in left.items()}
        count = Counter(called.values())
        names |= called
        left = {key: parts for key, parts in left.items() if count[called[key]] > 1 and depth < len(parts)}
        depth += 1
    return names
