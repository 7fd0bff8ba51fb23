"""What the lifecycle nodes share: all that they need exists while they are active, and their parameters are a dataclass."""

from __future__ import annotations

import contextlib
import functools
import traceback
from array import array
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node

from fourdhands_core.errors import FourDHandsError, InputError
from fourdhands_core.streams import printable

from .executable import Stop
from .process import is_refusal, make_node, refusal, spin


class ActiveNode(LifecycleNode):
    """A node whose models, topics and threads `_open` makes at activation, and which are undone in the opposite order.

    declare: makes the node's parameters, a dataclass with `autostart` (`node.parameters.declare`); the other
    arguments are rclpy's. parameters: as they are now. Raises InputError where a parameter's given value is refused.
    """

    def __init__(self, node_name: str, declare: Callable[[Node], Any], **kwargs: Any) -> None:
        super().__init__(node_name, **kwargs)
        self._made = contextlib.ExitStack()
        change = self._service_change_state
        change.callback = functools.partial(self._on_change_state, change.callback)
        self.parameters = declare(self)
        self.add_on_set_parameters_callback(self._on_set_parameters)

    def _open(self, made: contextlib.ExitStack) -> str:
        """Make all that is there while the node is active; `made` gets what undoes it. Returns what the log says then."""
        raise NotImplementedError

    def _apply(self, parameters: Any) -> None:
        """Parameters that were changed while the node runs."""

    def _release(self) -> None:
        """Undo what `_open` made."""
        self._made.close()

    def _on_change_state(self, change: Callable[[Any, Any], Any], request: Any, response: Any) -> Any:
        """Refuse a transition that there is not from the node's state: rclpy raises, and a node that runs would end."""
        try:
            return change(request, response)
        except Exception as error:  # rclpy's class for that has no public name
            what = request.transition.label or request.transition.id
            self.get_logger().warning(f"transition {what} is refused: there is none from the node's state ({error})")
            response.success = False
            return response

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open everything. FAILURE, with the reason logged, where that does not succeed."""
        try:
            with contextlib.ExitStack() as made:
                said = self._open(made)
                self._made = made.pop_all()
        except FourDHandsError as error:
            self.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        except Exception as error:  # rclpy swallows it without a word
            words = refusal(error) if is_refusal(error) else f"the node could not be activated:\n{traceback.format_exc()}"
            self.get_logger().error(printable(words))
            return TransitionCallbackReturn.FAILURE
        self.get_logger().info(said)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the topics and release what was loaded."""
        self._release()
        return super().on_deactivate(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """As on_deactivate, from any state."""
        self._release()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """As on_deactivate, after a failed transition."""
        self._release()
        return super().on_error(state)

    def destroy_node(self) -> None:
        """Release everything and destroy the node."""
        self._release()
        super().destroy_node()

    def _on_set_parameters(self, changed: list[Any]) -> SetParametersResult:
        known = type(self.parameters).__dataclass_fields__
        values = {p.name: tuple(p.value) if isinstance(p.value, list | array) else p.value for p in changed if p.name in known}
        try:
            self.parameters = replace(self.parameters, **values)
        except InputError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._apply(self.parameters)
        return SetParametersResult(successful=True)


def open_publisher(node: Node, made: contextlib.ExitStack, kind: Any, topic: str, qos: Any = 10, **options: Any) -> Any:
    """A publisher that lasts as long as `made`."""
    publisher = node.create_publisher(kind, topic, qos, **options)
    made.callback(node.destroy_publisher, publisher)
    return publisher


def run_node(make: Callable[..., ActiveNode], stop: Stop, *args: Any) -> int:
    """Make a node by calling `make` with args, activate it unless its parameters say otherwise, and spin it until `stop`.

    Returns the exit status: 0; 1 where it could not be activated. Raises InputError where rclpy or the node refuses its start.
    """
    node = make_node(make, *args)
    try:
        if node.parameters.autostart:
            for transition in (node.trigger_configure, node.trigger_activate):
                if stop.is_set():
                    return 0
                if transition() != TransitionCallbackReturn.SUCCESS:
                    return 1
        spin(node, stop)
        return 0
    finally:
        node.destroy_node()
