"""Cameras that wait for the image network go through it together, and what a GPU would record is right for every input."""

import threading
import time

import numpy as np
import pytest
import torch
from network_support import small_network
from torch.fx.experimental.proxy_tensor import make_fx

from fourdhands_core.runtime.batcher import Batcher
from fourdhands_core.runtime.cuda_graphs import Recorded
from fourdhands_core.runtime.image import TorchImage

PATIENT = 120.0


def in_threads(*functions):
    """Results, or exceptions, of functions called at the same time."""
    results = [None] * len(functions)

    def call(number):
        try:
            results[number] = functions[number]()
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=call, args=(number,)) for number in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENT)
    return results


class Held(Batcher):
    """A Batcher whose first batch goes on until `count` others wait; `batches` in order."""

    def __init__(self, function, count):
        self.batches, self.held = [], count
        super().__init__(work=lambda requests: self._batch(function, requests))

    def _batch(self, function, requests):
        self.batches.append(list(requests))
        ended = time.monotonic() + PATIENT
        while len(self.batches) == 1 and len(self._waiting["work"]) < self.held and time.monotonic() < ended:
            time.sleep(0.001)
        return function(requests)

    def first_then(self, first, *others):
        """`first` is worked on when `others` come, at the same time."""

        def late(request):
            while not self.batches:
                time.sleep(0.001)
            return self("work", request)

        return in_threads(lambda: self("work", first), *(lambda request=request: late(request) for request in others))


def test_those_who_wait_are_taken_together():
    together = Held(lambda requests: [10 * request for request in requests], 3)
    assert together.first_then(1, 2, 3, 4) == [10, 20, 30, 40]
    assert together.batches[0] == [1] and sorted(together.batches[1]) == [2, 3, 4] and len(together.batches) == 2


def test_who_is_alone_goes_at_once(monkeypatch):
    """Without a moment's wait for others."""
    together = Batcher(work=lambda requests: requests)
    monkeypatch.setattr(together._changed, "wait", lambda timeout=None: pytest.fail("it waited"))
    assert [together("work", number) for number in range(100)] == list(range(100))


def test_a_request_that_fails_is_its_own_thread_s_failure():
    def divide(requests):
        return [1.0 / request for request in requests]

    together = Held(divide, 3)
    first, failed, second, third = together.first_then(1, 0, 2, 4)
    assert (first, second, third) == (1.0, 0.5, 0.25) and isinstance(failed, ZeroDivisionError)
    assert together("work", 8) == 0.125


def test_many_threads_each_get_their_own():
    together = Batcher(double=lambda requests: [2 * r for r in requests], negate=lambda requests: [-r for r in requests])

    def one(number):
        return [(together("double", k), together("negate", k)) for k in range(number, number + 200)]

    results = in_threads(*(lambda number=number: one(1000 * number) for number in range(8)))
    assert results == [[(2 * k, -k) for k in range(1000 * n, 1000 * n + 200)] for n in range(8)]


class Traced:
    """Records as a GPU would: the tensor operations of one run, replayed on the inputs' own memory whatever is in them.

    Forbidden are those that a recording cannot hold: results whose shape depends on values, and reading a value.
    """

    FORBIDDEN = {"nonzero", "_local_scalar_dense", "masked_select", "index_put", "index_put_", "item", "equal"}

    def __init__(self):
        self.shapes = []

    def __call__(self, function, *inputs):
        graph = make_fx(lambda one, other: function(one, other))(*inputs)
        for node in graph.graph.nodes:
            if isinstance(node.target, torch._ops.OpOverload):
                assert node.target.overloadpacket.__name__ not in self.FORBIDDEN, node
        self.shapes.append([tuple(value.shape) for value in inputs])
        output = graph(*inputs)
        output = torch.empty_like(output)
        return Recorded(lambda: output.copy_(graph(*inputs)), inputs, output)


def seen(rng):
    """An image, squares and which hands are there."""
    present = np.array([(True, True), (True, False), (False, True)][rng.integers(3)])
    squares = np.array([[150, 30, 120, 120], [10, 40, 110, 110]]) + rng.uniform(-9, 9, (2, 4))
    return rng.integers(0, 255, (240, 320, 3), dtype=np.uint8), squares * present[:, None], present


def window(execution, rng):
    """Tokens of a window in which hands come and go, and frames with none."""
    frames = [seen(rng) if k % 4 else None for k in range(9)]
    valid = np.stack([frame[2] if frame else [False, False] for frame in frames], 1)
    return [execution.encode(*frame) if frame else None for frame in frames], valid


def batch(execution, name, requests):
    """Requests as one batch, as if they had waited together."""
    held = execution._together
    functions = dict(held._functions)
    sizes = []

    def gather(together):
        sizes.append(len(together))
        ended = time.monotonic() + PATIENT
        while len(sizes) == 1 and len(held._waiting[name]) < len(requests) - 1 and time.monotonic() < ended:
            time.sleep(0.001)
        return functions[name](together)

    held._functions[name] = gather
    try:
        results = in_threads(*requests)
    finally:
        held._functions[name] = functions[name]
    assert max(sizes) == len(requests) - 1
    return results


@pytest.mark.parametrize("relation, recorded", [("add", False), ("concatenate", False), ("concatenate", True)])
def test_cameras_together_equal_each_alone(relation, recorded):
    """Also recorded, where every number of hands has its own recording: for three cameras of one network, two of the other."""
    made = small_network(relation=relation)
    alone = TorchImage(made)
    traced = Traced() if recorded else None
    cameras = 3 if relation == "add" else 2
    execution = TorchImage(made, cameras=cameras, record=traced)
    if recorded:
        assert len(traced.shapes) == sum(range(2, cameras + 2)) + cameras
    rng = np.random.default_rng(2)
    for _ in range(2):
        images = [seen(rng) for _ in range(cameras + 1)]
        tokens = batch(execution, "encode", [lambda s=s: execution.encode(*s) for s in images])
        for got, image in zip(tokens, images):
            np.testing.assert_allclose(got[image[2]], alone.encode(*image)[image[2]], atol=1e-5)
        windows = [window(alone, rng) for _ in range(cameras + 1)]
        hands = batch(execution, "reason", [lambda w=w: execution.reason(*w) for w in windows])
        for got, one in zip(hands, windows):
            for value, expected in zip(got, alone.reason(*one), strict=True):
                assert value.shape == expected.shape and value.dtype == float
                np.testing.assert_allclose(value, expected, atol=1e-5)


def test_what_a_recording_gave_stays_when_it_is_replayed():
    execution = TorchImage(small_network(), record=Traced())
    rng = np.random.default_rng(3)
    image, other = ((*seen(rng)[:1], np.array([[150.0, 30, 120, 120], [10, 40, 110, 110]]), np.ones(2, bool)) for _ in range(2))
    first = execution.encode(*image)
    kept, hands = first.clone(), execution.reason([first] * 9, np.ones((2, 9), bool))
    values = [value.copy() for value in hands]
    second = execution.encode(*other)
    execution.reason([second] * 9, np.ones((2, 9), bool))
    torch.testing.assert_close(first, kept)
    assert not torch.allclose(first, second)
    for value, before in zip(hands, values):
        np.testing.assert_array_equal(value, before)


def test_cameras_whose_image_fails_leave_the_others_alone():
    execution = TorchImage(small_network(), cameras=2)
    rng = np.random.default_rng(4)
    good = [seen(rng) for _ in range(3)]
    expected = [execution.encode(*image) for image in good]
    broken = (np.zeros((0, 0, 3), np.uint8), *good[0][1:])  # fails where it is cropped, in its own thread

    def run(image):
        return [execution.encode(*image) for _ in range(20)]

    *results, failed = in_threads(*(lambda image=image: run(image) for image in [*good, broken]))
    assert isinstance(failed, Exception)
    for got, wanted, image in zip(results, expected, good):
        for tokens in got:
            np.testing.assert_allclose(tokens[image[2]], wanted[image[2]], atol=1e-5)


def test_tokens_of_another_network_fail_alone():
    """One that fails inside the batch: the others of it are worked on again."""
    execution = TorchImage(small_network())
    rng = np.random.default_rng(5)
    windows = [window(execution, rng) for _ in range(3)]
    expected = [execution.reason(*one) for one in windows]
    strange = [torch.zeros(2, 7)] * 9, np.ones((2, 9), bool)
    first, failed, *results = batch(
        execution, "reason", [lambda w=w: execution.reason(*w) for w in (windows[0], strange, *windows[1:])]
    )
    got = [value for value in (first, failed, *results) if not isinstance(value, Exception)]
    assert len(got) == 3
    for hands, wanted in zip(got, expected):
        for value, truth in zip(hands, wanted):
            np.testing.assert_allclose(value, truth, atol=1e-5)
