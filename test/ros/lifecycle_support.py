"""The lifecycle of a node in another process."""

from lifecycle_msgs.srv import ChangeState, GetState
from ros_support import Ros

AFTER = {
    "configure": "inactive",
    "activate": "active",
    "deactivate": "inactive",
    "cleanup": "unconfigured",
    "shutdown": "finalized",
}
"""The state of a lifecycle node after each transition."""


class RemoteLife:
    """The lifecycle of a node in another process, through services that `node` calls."""

    def __init__(self, ros: Ros, node, name: str):
        self._ros, self._name = ros, name
        self._state = node.create_client(GetState, f"{name}/get_state")
        self._change = node.create_client(ChangeState, f"{name}/change_state")

    def state(self) -> str:
        """The node's state."""
        return self._ros.ask(self._state, GetState.Request()).current_state.label

    def change(self, label: str) -> None:
        """Bring the node through a transition."""
        request = ChangeState.Request()
        request.transition.label = label
        for _ in range(2):  # an answer that is lost is no transition that did not happen
            self._ros.ask(self._change, request, lambda: self.state() == AFTER[label])
            if self.state() == AFTER[label]:
                return
        raise AssertionError(f"{self._name} did not {label}, but is {self.state()}")
