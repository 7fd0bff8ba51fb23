"""What is typed to record episodes, and the terminal for it beside a recorder that has none, as under `ros2 launch`.

`python -m fourdhands_ros.recorder --keys` makes of each line a call of the recorder's services, or a note.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

from rclpy.executors import SingleThreadedExecutor
from std_msgs.msg import String
from std_srvs.srv import Trigger

from ..executable import Stop
from ..process import node_alone

WORDS = ("start", "stop", "toggle", "keep", "discard", "success", "failure")
NOTE = "note"
KEYS = {"": "toggle", "k": "keep", "d": "discard", "y": "success", "f": "failure", "n": NOTE}
"""Letters in place of words, each with Enter."""
TO_TYPE = f"type {', '.join(WORDS)}, or Enter alone to start and to stop, " + ", ".join(
    [*(f"{key} {word}" for key, word in KEYS.items() if key), "and after n its text; each with Enter"]
)
_SOON, _ANSWERS = 2.0, 30.0
"""Seconds within which the recorder is found, and within which it answers: it may have a bag to complete."""


def word_of(line: str) -> tuple[str, str]:
    """What a line asks for, a word or that of a letter, and the text after it."""
    word, _, text = line.strip().partition(" ")
    return KEYS.get(word, word), text


def can_read() -> bool:
    """Whether somebody may type: in the background of its own terminal, reading would stop the process."""
    if sys.stdin is None or not sys.stdin.isatty():
        return False
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:  # the terminal is not its own, as after setsid, and does not stop it
        return True


def lines_typed() -> SimpleQueue[str | None]:
    """Lines of standard input as they come, None at its end."""
    lines: SimpleQueue[str | None] = SimpleQueue()

    def read() -> None:
        with contextlib.suppress(OSError, ValueError):  # the terminal is gone
            for line in sys.stdin.buffer if sys.stdin else ():  # None where it was closed from the beginning
                lines.put(line.decode(errors="replace"))
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    return lines


def send_keys(stop: Stop) -> int:
    """Send what is typed to the recorder of this node's namespace, until the input ends. Returns the exit status, 0."""
    with node_alone("hands_keys") as node:
        executor = SingleThreadedExecutor(context=node.context)
        executor.add_node(node)
        logger = node.get_logger()
        # All of them now: an answer is lost to a client that the service does not know yet.
        clients = {word: node.create_client(Trigger, f"hands_recorder/{word}") for word in WORDS}
        notes = node.create_publisher(String, "hands_recorder/note", 10)

        def spin_until(condition: Callable[[], bool], seconds: float = float("inf")) -> bool:
            end = time.monotonic() + seconds
            while not condition() and not stop.is_set() and time.monotonic() < end:
                executor.spin_once(timeout_sec=0.05)
            return condition()

        def connected() -> bool:
            return bool(notes.get_subscription_count()) and all(client.service_is_ready() for client in clients.values())

        def send(word: str, text: str) -> None:
            if word == NOTE:
                notes.publish(String(data=text))
                logger.info("the note is sent; what becomes of it the recorder's own log says")
                return
            if word not in clients:
                logger.warning(f"{word!r} means nothing here; {TO_TYPE}")
                return
            answer = clients[word].call_async(Trigger.Request())
            if not spin_until(answer.done, _ANSWERS):
                logger.error(f"{word}: no answer comes from {notes.topic_name.rpartition('/')[0]}; see its own log")
            elif answer.result().success:
                logger.info(answer.result().message)
            else:
                logger.warning(answer.result().message)

        if not spin_until(connected, _SOON) and not stop.is_set():
            logger.warning(
                f"{notes.topic_name.rpartition('/')[0]} is not there, which record.launch.py episodes:=DIR starts, in this "
                "ROS_DOMAIN_ID; for one in a namespace give --ros-args -r __ns:=/NAME. Waiting for it"
            )
        if spin_until(connected):
            logger.info(TO_TYPE)
            lines = lines_typed()
            while spin_until(lambda: not lines.empty()) and (line := lines.get()) is not None:
                send(*word_of(line))
    return 0
