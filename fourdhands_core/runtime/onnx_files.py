"""The files of exported networks: their names and what each takes."""

from __future__ import annotations

from ..network.landmark_config import SHIPPED

ENCODE, REASON = "encode.onnx", "reason.onnx"
"""The files of an exported landmark network: what is computed once a frame, and on each window of frames."""
GRAPHS = SHIPPED.parent / "landmark_encode.onnx", SHIPPED.parent / "landmark_reason.onnx"
"""The same two for a network of LandmarkConfig's own sizes, without weights; made by tools/landmark_graphs.py."""
BACKBONE, SPATIAL, TEMPORAL = "backbone.onnx", "spatial.onnx", "temporal.onnx"
"""The files of an exported image network: the ViT, what follows it once a frame, and on each window of frames."""
INPUTS = {
    ENCODE: ["rays", "world", "has_world", "present"],
    REASON: ["hands", "offsets", "seen"],
    BACKBONE: ["crops"],
    SPATIAL: ["features", "squares", "present"],
    TEMPORAL: ["tokens", "valid"],
}
"""What each file's network takes."""
