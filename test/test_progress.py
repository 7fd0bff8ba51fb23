"""The table of many bags that a terminal shows, and the lines elsewhere."""

import contextlib
import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import termios

from fourdhands_core import progress
from fourdhands_core.errors import InputError
from fourdhands_core.progress import Board, short_names


class Terminal(io.StringIO):
    def isatty(self):
        return True


def work_on(board):
    for name in ("all/bag_1", "all/bag_2", "all/bag_3"):
        board.begin(name)
    board.at("all/bag_2", 300, 900)  # which an earlier run has done
    board.at("all/bag_2", 450, 900)
    board.end("all/bag_1")
    board.begin("all/bag_3")
    board.end("all/bag_3", InputError("all/bag_3 is damaged"))
    board.draw()


def test_a_table_in_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress, "_DRAWN", -1.0)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "30")
    with Board([f"all/bag_{number}" for number in range(1, 6)], "row", quiet=False) as board:
        work_on(board)
    shown = sys.stderr.getvalue()
    row = next(line for line in shown.splitlines() if "bag_2" in line)
    assert row.split()[:6] == ["bag_2", "working", "450", "of", "900", "rows"]
    assert "bag_3                        failed   begun 2 times: bag_3 is damaged" in shown
    assert "2/5" in shown and "1 failed" in shown and "bag_4" not in shown
    assert board.failed == {"all/bag_3": "all/bag_3 is damaged"}


def test_more_rows_than_the_terminal_has(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress, "_DRAWN", -1.0)
    monkeypatch.setenv("LINES", "9")
    with Board(range(40), "image", quiet=False) as board:
        for number in range(40):
            board.begin(number)
        board.draw()
    assert "and 35 more" in sys.stderr.getvalue()


def test_a_terminal_that_says_no_size():
    """As those of serial lines and containers."""
    code = (
        "from fourdhands_core.progress import Board\n"
        "with Board(['one', 'two'], 'row', False) as board: board.begin('one'), board.end('two', 'lost'), board.draw(True)"
    )
    reader, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 0, 80, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # at its end
        while data := os.read(reader, 4096):
            shown += data
    os.close(reader)
    assert process.wait() == 0 and b"1/2" in shown and b"two                          failed   lost" in shown


def test_lines_where_there_is_no_terminal(monkeypatch, capsys):
    monkeypatch.setattr(progress, "PERIOD", -1.0)
    with Board([f"all/bag_{number}" for number in range(1, 6)], "row", quiet=False) as board:
        work_on(board)
    assert capsys.readouterr().err.splitlines() == [
        "fourdhands: bag_3 failed: why is told at the end",
        "fourdhands: 1 of 5 done, 1 failed; under way, in rows: bag_2 450 of 900",
    ]
    with Board(["a", "b"], "row", quiet=True) as board:
        board.begin("a")
        board.end("a", "lost")
        board.draw()
    assert capsys.readouterr().err == "" and board.failed == {"a": "lost"}


def test_names_tell_apart():
    names = ["/a/cups/one", "/b/cups/one", "s3://lab/two", "/a/three", "same/three/", "/x"]
    assert [*short_names(names).values()] == ["a/cups/one", "b/cups/one", "two", "a/three", "same/three", "x"]
