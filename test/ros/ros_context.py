"""A ROS context on a domain of its own, and waiting: what the ROS tests share that knows nothing of hands."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
import time
from pathlib import Path

import rclpy
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from ros_domain import Domain

REPOSITORY = Path(__file__).resolve().parents[2]
_THREADS = 50
"""Of this process, beyond which garbage is looked for: a context that was shut down keeps nine of DDS's until it is found, and
some of them have kept all cores at work for the rest of the tests."""
PATIENT = 120.0
"""Seconds that anything may take on a busy computer: a deadline for what has to come, never a measure."""


def wait_until(condition) -> bool:
    """Wait, without ROS, until the condition holds; False where it does not in time."""
    deadline = time.monotonic() + PATIENT
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


@contextlib.contextmanager
def stderr_in(path):
    """Reads what is written to the standard error meanwhile, into this file: capfd loses what comes while it is read."""
    kept = os.dup(2)
    with path.open("wb") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield path.read_text
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def ended(process, code=0, before="", by=None) -> str:
    """What a process has said, `before` with it, that ends by itself or by a signal: with a code, and without a traceback."""
    if by is not None:
        process.send_signal(by)
    output = before + process.communicate(timeout=PATIENT)[0]
    assert process.returncode == code and "Traceback" not in output and "Exception" not in output, (process.returncode, output)
    return output


class Ros:
    """A ROS context on a domain of its own, with nodes that one executor spins."""

    def __init__(self):
        self._domain = Domain()
        self.domain = self._domain.number
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=self.domain)
        self.executor = SingleThreadedExecutor(context=self.context)
        self._processes: list[subprocess.Popen] = []

    def add(self, node):
        """Have a node spun."""
        self.executor.add_node(node)
        return node

    def node(self, name="tester", **kwargs):
        """A plain node."""
        return self.add(rclpy.create_node(name, context=self.context, **kwargs))

    def spin_until(self, condition, timeout: float = PATIENT) -> bool:
        """Spin until the condition holds; False where it does not in time."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.executor.spin_once(timeout_sec=0.005)
        return True

    def spin_for(self, seconds: float) -> None:
        """Spin for a time."""
        self.spin_until(lambda: False, seconds)

    def ask(self, client, request, enough=lambda: False):
        """A service's answer, or None where what was asked for has come about, `enough`, and the answer was lost.

        It is asked again where none comes, as one is lost that is given before the service has found who asked.
        """
        assert self.spin_until(client.service_is_ready), client.srv_name
        deadline, asked = time.monotonic() + PATIENT, []
        while time.monotonic() < deadline:
            asked.append(client.call_async(request))
            if self.spin_until(lambda: any(future.done() for future in asked), 10.0) or enough():
                return next((future.result() for future in asked if future.done()), None)
        raise AssertionError(f"{client.srv_name} does not answer")

    def publish_until(self, publisher, message, condition) -> None:
        """Publish a message, and again where it is lost on its way, until the condition holds."""
        deadline = time.monotonic() + PATIENT
        while time.monotonic() < deadline:
            publisher.publish(message)
            if self.spin_until(condition, 5.0):
                return
        raise AssertionError(f"what was published on {publisher.topic_name} did not arrive")

    def deliver(self, publisher, message) -> None:
        """Publish a message to those who ask for reliable delivery, and wait until they have it."""
        assert self.spin_until(publisher.get_subscription_count), publisher.topic_name
        publisher.publish(message)
        assert publisher.wait_for_all_acked(Duration(seconds=PATIENT)), publisher.topic_name

    def join(self, node, *publishers) -> None:
        """Wait until a node's subscriptions and these publishers have found each other, which each side learns by itself."""

        def joined(publisher):
            heard = [one for one in node.subscriptions if one.topic_name == publisher.topic_name]
            # Humble tells only the publisher's side.
            return publisher.get_subscription_count() and all(
                one.get_publisher_count() for one in heard if hasattr(one, "get_publisher_count")
            )

        assert self.spin_until(lambda: all(map(joined, publishers))), [one.topic_name for one in publishers]

    def catch_up(self, node) -> None:
        """Have a node hear all that has come: the executor takes one message of each topic in turn, so that on a loaded
        machine those of a fast one wait behind a slow one's that were said after them."""
        for one in node.subscriptions:
            with one.handle:
                while (taken := one.handle.take_message(one.msg_type, one.raw)) is not None:
                    one.callback(taken[0])

    def process(self, *command: str, environment: dict | None = None, **options) -> subprocess.Popen:
        """A Python process on the same domain, ended with the context.

        command: a program of this repository by its path in it, from whatever folder the tests run, as `colcon test` does.
        environment: variables that are other than this process's, None for those that are missing. options: Popen's.
        """
        path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
        variables = {**os.environ, "ROS_DOMAIN_ID": str(self.domain), "PYTHONPATH": path, **(environment or {})}
        if (REPOSITORY / command[0]).is_file():
            command = (str(REPOSITORY / command[0]), *command[1:])
        process = subprocess.Popen(
            [sys.executable, *command],
            env={name: value for name, value in variables.items() if value is not None},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **options,
        )
        self._processes.append(process)
        return process

    def close(self) -> None:
        """End nodes, context and processes.

        In this order: Fast DDS may end this process where it leaves a domain in which a process was killed while it wrote
        a large message.
        """
        for node in list(self.executor.get_nodes()):
            node.destroy_node()
        self.executor.shutdown()
        rclpy.try_shutdown(context=self.context)
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        if len(os.listdir("/proc/self/task")) > _THREADS:
            gc.collect()
        self._domain.close()
