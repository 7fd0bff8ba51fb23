"""Functions on CUDA tensors as one launch each: hundreds of kernels recorded once as a CUDA graph for given shapes."""

from __future__ import annotations

from collections.abc import Callable

import torch


class GraphRecorder:
    """Makes recordings that share their working memory: they are replayed one after the other, on one stream."""

    def __init__(self):
        self._pool, self._stream = torch.cuda.graph_pool_handle(), torch.cuda.Stream()

    def __call__(self, function: Callable, *inputs: torch.Tensor) -> Recorded:
        """Record `function(*inputs)`.

        function: of CUDA tensors alone, without synchronisation or shapes that depend on values; returns a tensor. Other
        threads may use the device meanwhile.
        """
        graph = torch.cuda.CUDAGraph()
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.inference_mode():
            with torch.cuda.stream(self._stream):  # libraries choose their kernels and take their memory before the recording
                for _ in range(3):
                    function(*inputs)
            with torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"):
                output = function(*inputs)
        torch.cuda.current_stream().wait_stream(self._stream)
        return Recorded(graph.replay, inputs, output)


class Recorded:
    """A recording: copies its inputs to where they were recorded, then replays.

    The inputs may be on the device or in pinned memory. What a call returns is overwritten by the next call, and by those
    of other recordings of the same recorder: copy it on the same stream.
    """

    def __init__(self, replay: Callable[[], None], inputs: tuple[torch.Tensor, ...], output: torch.Tensor):
        self._replay, self._inputs, self._output = replay, inputs, output

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        for own, value in zip(self._inputs, inputs, strict=True):
            own.copy_(value, non_blocking=True)
        self._replay()
        return self._output


class ByShape:
    """A function on tensors, recorded for some shapes of its inputs and computed the ordinary way for others.

    record: a GraphRecorder; None to record nothing. device: where the function is computed.
    """

    def __init__(self, function: Callable, record: Callable[..., Recorded] | None, device: torch.device):
        self._function, self._record, self._device = function, record, device
        self._recorded: dict[tuple, Recorded] = {}

    def prepare(self, *inputs: torch.Tensor) -> None:
        """Record for inputs of these shapes, unless that was done."""
        if self._record is not None and _shapes(inputs) not in self._recorded:
            self._recorded[_shapes(inputs)] = self._record(self._function, *inputs)

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        """The function's value, a tensor of the caller's own."""
        recorded = self._recorded.get(_shapes(inputs))
        if recorded is not None:
            return recorded(*inputs).clone()
        return self._function(*(value.to(self._device, non_blocking=True) for value in inputs))


def _shapes(inputs):
    return tuple(tuple(value.shape) for value in inputs)
