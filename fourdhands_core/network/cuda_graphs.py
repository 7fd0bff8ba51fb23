"""A function on CUDA tensors as one launch: hundreds of kernels recorded once as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable

import torch


class Recorded:
    """`function(*inputs)` recorded for the shapes of `inputs`; calls copy their inputs in and replay.

    function: of CUDA tensors alone, without synchronisation; returns a tensor or a dataclass of tensors. What a call
    returns is overwritten by the next call.
    """

    def __init__(self, function: Callable, inputs: list[torch.Tensor]):
        self._inputs = [value.clone() for value in inputs]
        with torch.inference_mode():
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):  # libraries choose their kernels and take their memory before the recording
                for _ in range(3):
                    function(*self._inputs)
            torch.cuda.current_stream().wait_stream(side)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._output = function(*self._inputs)

    def __call__(self, *inputs: torch.Tensor):
        for own, value in zip(self._inputs, inputs):
            own.copy_(value, non_blocking=True)
        self._graph.replay()
        return self._output
