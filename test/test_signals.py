"""Signals to the command `fourdhands` at any moment: one sentence, 128 and the signal's number, and no file half written."""

import os
import signal
import subprocess
import sys

import pytest
from program_support import REPOSITORY, python
from video_support import plain_video
from view_support import moving, write_npz

from fourdhands_core import signals

ALL = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
STARTS = {"script": ["{folder}/fourdhands"], "module": ["-m", "fourdhands_core.cli"], "package": ["-m", "fourdhands_core"]}

HOOK = """
import builtins, os, sys
def hooked(name, *arguments, original=builtins.__import__, **options):
    if name.partition(".")[0] == {name!r}:
        builtins.__import__ = original
        os.kill(os.getpid(), {number})
    return original(name, *arguments, **options)
if "fourdhands" in " ".join(sys.orig_argv):
    builtins.__import__ = hooked
"""
"""Sends a signal when a module is imported for the first time."""


@pytest.fixture
def folder(tmp_path):
    plain_video(tmp_path / "in.mp4", [0], (160, 120))
    (tmp_path / "fourdhands").write_text("from fourdhands_core.cli import run\nrun()\n")
    return tmp_path


def run(folder, *arguments, hook="", limit=6000, **options):
    (folder / "sitecustomize.py").write_text(hook)
    given = (str(argument).replace("{folder}", str(folder)) for argument in arguments)
    return python(*given, env=os.environ | {"PYTHONPATH": f"{folder}:{REPOSITORY}"}, timeout=limit, cwd=folder, **options)


def said(number) -> str:
    return f"fourdhands: {signals.words(number)}\n"


@pytest.mark.parametrize("number", ALL)
@pytest.mark.parametrize(
    "start, module",
    [
        ("script", "argparse"),
        ("module", "argparse"),
        ("package", "argparse"),
        ("script", "commands"),
        ("script", "cv2"),
        ("module", "numpy"),
        ("script", "threadpoolctl"),
        ("module", "onnxruntime"),
    ],
)
def test_a_signal_in_an_import_ends_it_with_a_sentence(folder, start, module, number):
    if number != signal.SIGINT and start == "module":
        return
    done = run(
        folder,
        *STARTS[start],
        *("track", "in.mp4", "--out", "out", "--quiet"),
        hook=HOOK.format(name=module, number=int(number)),
    )
    assert done.returncode == 128 + number and done.stderr.endswith(said(number)) and not done.stdout, done.stderr
    assert done.stderr.count("\n") == 1 and not (folder / "out").exists()


@pytest.mark.parametrize("number", ALL)
def test_a_signal_while_a_file_is_written_leaves_nothing_of_it(folder, number):
    """An import that is under way then is no reason to leave a part behind."""
    script = """
import os, sys
from fourdhands_core import cli, outputs
def work(args):
    with outputs.writing("whole.txt") as partial:
        partial.write_text("half")
        import slow
class Args:
    run, extra, command = staticmethod(work), None, "work"
class Parser:
    parse_args = staticmethod(lambda argv: Args)
class Args:
    run, extra, command = staticmethod(work), None, "work"
class Parser:
    parse_args = staticmethod(lambda argv: Args)
cli.build_parser = Parser
sys.argv[0] = "fourdhands"
sys.exit(cli.main([]))
"""
    (folder / "slow.py").write_text(f"import os\nos.kill(os.getpid(), {int(number)})\nfor _ in range(100): pass\n")
    (folder / "whole.txt").write_text("before")
    done = run(folder, "-c", script)
    assert (done.returncode, done.stderr) == (128 + number, said(number))
    assert (folder / "whole.txt").read_text() == "before" and not list(folder.glob(".partial*"))


THREADS = {
    "interrupted as it started": """
def sent(self, timeout=None, original=threading.Event.wait):
    original(self, timeout)
    threading.Event.wait = original
    os.kill(os.getpid(), {number})
    for _ in range(100): pass
threading.Event.wait = sent
pool = ThreadPoolExecutor(1)
pool.submit(print, end="")
""",
    "in native code": """
def calls():
    image = np.zeros((1200, 1200, 3), np.uint8)
    while True:
        cv2.GaussianBlur(image, (31, 31), 5)
        called.set()
called = threading.Event()
threading.Thread(target=calls, daemon=True).start()
called.wait()
os.kill(os.getpid(), {number})
for _ in range(100): pass
""",
}


@pytest.mark.parametrize("number", ALL)
@pytest.mark.parametrize("thread", THREADS)
def test_a_thread_that_a_signal_leaves_behind_does_not_keep_the_command(folder, thread, number):
    """It was waited for without end, or aborted the process as it came back to a Python that had ended."""
    script = """
import atexit, os, sys, threading
from concurrent.futures import ThreadPoolExecutor
import cv2, numpy as np
from fourdhands_core import cli
def work(args):
    atexit.register(print, "the end", file=sys.stderr)
    print("begun")
    exec(sys.argv[1], globals())
class Args:
    run, extra, command = staticmethod(work), None, "work"
class Parser:
    parse_args = staticmethod(lambda argv: Args)
cli.build_parser = Parser
cli.run()
"""
    done = run(folder, "-c", script, THREADS[thread].replace("{number}", str(int(number))), limit=120)
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, "begun\n", said(number) + "the end\n")


def test_a_signal_that_does_not_wake_the_page_ends_it(folder):
    """As where it comes just before the main thread waits, on a busy computer: it slept on for an hour. Here another thread
    takes it."""
    pytest.importorskip("viser", reason="the extra view is not installed")
    write_npz(folder / "hands.npz", moving(5))
    hook = """
import signal, sys, threading, time
def sleep(seconds, original=time.sleep):
    if sys._getframe(1).f_globals["__name__"] == "fourdhands_core.commands.view":
        time.sleep = original
        threading.Timer(0.5, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGTERM)).start()
    original(seconds)
if "fourdhands" in " ".join(sys.orig_argv):
    time.sleep = sleep
"""
    done = run(folder, *STARTS["package"], "view", "hands.npz", "--port", "0", hook=hook, limit=120)
    assert done.returncode == 0 and done.stdout.startswith("open "), done.stderr


def test_a_signal_that_is_ignored_stays_so(folder):
    """As for what nohup starts."""
    hook = "import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + HOOK.format(name="cv2", number=int(signal.SIGHUP))
    done = run(folder, *STARTS["script"], "track", "none.mp4", "--out", "out", hook=hook)
    assert done.returncode == 2 and "none.mp4 does not exist" in done.stderr


def test_the_handlers_of_a_program_that_calls_main_are_its_own_again():
    from fourdhands_core import cli

    before = [signal.getsignal(number) for number in ALL]
    assert cli.main(["evaluate", "--real", "/nowhere/at/all"]) == 2
    assert [signal.getsignal(number) for number in ALL] == before


def test_processes_of_a_worker_are_not_interrupted_by_the_terminal():
    with signals.not_for_children():
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    child.send_signal(signal.SIGINT)
    child.send_signal(signal.SIGHUP)
    child.communicate(b"\n", timeout=600)
    assert child.returncode == 0


def test_a_signal_waits_while_a_process_is_started():
    done = []
    with pytest.raises(signals.Asked) as raised, signals.running():
        with signals.held():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("started")
    assert done and raised.value.number == signal.SIGTERM
