"""The landmark network's graphs for onnxruntime, without weights: they take those of any weights file of their sizes.

`python tools/landmark_graphs.py` writes the files that the package ships, which a test compares with the network:
to be run again when the network, not when its weights change. It needs the extra `onnx`; running the graphs does not.
"""

from __future__ import annotations

import json
import warnings

import torch

from fourdhands_core.network.landmark_config import LandmarkConfig
from fourdhands_core.network.landmark_model import LandmarkNetwork
from fourdhands_core.runtime.onnx_files import GRAPHS
from fourdhands_core.runtime.parts import EncodePart, ReasonPart

WEIGHTS = "weights"
"""Where the graphs say that their weights lie; who makes a session brings them by name."""


def write_graphs() -> None:
    """Write GRAPHS for a network of LandmarkConfig's own sizes."""
    import onnx
    import onnx_ir
    from onnxscript import optimizer

    config = LandmarkConfig()
    network = LandmarkNetwork(config)
    weights = {f"network.{name}" for name in network.state_dict()}
    for path, part in zip(GRAPHS, (EncodePart(network), ReasonPart(network))):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(part.eval(), part.examples(), dynamo=True, verbose=False, optimize=False)
        assert program is not None, "with dynamo there is one"
        graph = program.model.graph
        # as inputs, weights are not constants, of which it would put transposed copies in their place
        values = {name: graph.initializers.pop(name) for name in weights.intersection(graph.initializers)}
        graph.inputs.extend(values[name] for name in sorted(values))
        optimizer.optimize(program.model)
        for name, value in values.items():
            graph.inputs.remove(value)
            graph.initializers[name] = value
        model = onnx_ir.to_proto(program.model)
        for tensor in model.graph.initializer:
            if tensor.name in weights:
                tensor.ClearField("raw_data")
                tensor.data_location = onnx.TensorProto.EXTERNAL
                tensor.external_data.add(key="location", value=WEIGHTS)
        for about in (model.graph, *model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info):
            del about.metadata_props[:]
            about.doc_string = ""
        del model.graph.value_info[:]
        onnx.helper.set_model_props(model, {"fourdhands": json.dumps(config.to_dict())})
        path.write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    write_graphs()
    print(*GRAPHS, sep="\n")
