"""The hand models of running nodes: the files that their parameters name, read here."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from rcl_interfaces.srv import GetParameters
from rclpy.node import Node

from fourdhands_core.hand_model.assets import SHIPPED_HANDS, HandAsset, open_hand, open_left, pair_of

_PARAMETERS = "hand_model", "hand_model_left"
_PATIENCE = 5.0
"""Seconds after which a node that has not answered is asked again, and that is said."""


@dataclass
class _Question:
    """What the nodes that publish a topic are asked. asked: when, by the monotonic clock. clients: by the node's name. hands:
    (left, right), None until they are known. problem: a sentence of why they are not."""

    asked: float
    clients: dict[str, Any] = field(default_factory=dict)
    sent: set[str] = field(default_factory=set)
    hands: tuple[HandAsset, HandAsset] | None = None
    problem: str = ""


class LiveModels:
    """Asks nodes for their parameters hand_model and hand_model_left where the page has not the hand model of their poses.

    given: the model (left, right) that the page has; for it, and for those that ship with the package, nobody is asked. The
    page's thread calls `of`; answers come in the executor's. `forget` and `close` forget answers.
    """

    def __init__(self, node: Node, given: tuple[HandAsset, HandAsset]) -> None:
        self._node, self._given = node, given[1].name
        self._questions: dict[tuple[str, str], _Question] = {}

    def of(self, topic: str, model: str) -> tuple[tuple[HandAsset, HandAsset] | None, str]:
        """The hands (left, right) of a model that a HandPair topic's messages name; None where the page has them, or they are
        not known (yet). And a sentence of why they are not, empty where they are or an answer is waited for."""
        if not model or model == self._given or model in SHIPPED_HANDS:
            return None, ""
        question = self._questions.get((topic, model))
        if question is None or (question.hands is None and time.monotonic() - question.asked > _PATIENCE):
            question = self._questions[topic, model] = self._ask(topic, model, question)
        if question.hands is None:
            for name, client in question.clients.items():
                if name not in question.sent and client.service_is_ready():
                    question.sent.add(name)
                    asked = client.call_async(GetParameters.Request(names=_PARAMETERS))
                    asked.add_done_callback(partial(_answered, question, name, model))
        return question.hands, question.problem

    def forget(self, topic: str) -> None:
        """The answers of a topic's nodes, which may be others when something comes again."""
        for key in [key for key in self._questions if key[0] == topic]:
            self._let_go(self._questions.pop(key))

    def close(self) -> None:
        """Forget all answers: the nodes may be others when somebody looks again."""
        for topic in {topic for topic, _ in self._questions}:
            self.forget(topic)

    def _ask(self, topic: str, model: str, before: _Question | None) -> _Question:
        question = _Question(time.monotonic())
        if before is not None:
            self._let_go(before)
            question.problem = before.problem or f"no node that publishes {topic} tells which file its hand model {model} is"
        for info in self._node.get_publishers_info_by_topic(topic):
            name = f"{info.node_namespace.rstrip('/')}/{info.node_name}"
            if name not in question.clients:
                question.clients[name] = self._node.create_client(GetParameters, f"{name}/get_parameters")
        return question

    def _let_go(self, question: _Question) -> None:
        for client in question.clients.values():
            self._node.destroy_client(client)
        question.clients = {}


def _answered(question: _Question, node: str, model: str, future: Any) -> None:
    """Take in a node's answer, whatever it is."""
    try:
        names = [str(value.string_value) for value in future.result().values]
        if len(names) < len(_PARAMETERS) or Path(names[0]).stem != model:
            question.problem = f"{node} does not tell which file its hand model {model} is"
            return
        right = replace(open_hand(names[0]), name=model)
        question.hands = pair_of(right, open_left(names[1]))
        question.problem = ""
    except Exception as error:  # AssetError of a file that is not here; and nothing of a service may end the executor
        question.problem = f"the hand model of {node} cannot be read here: {error}"
