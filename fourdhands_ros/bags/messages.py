"""What the node would publish of estimates, as entries of a bag."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fourdhands_core.pipeline.types import HandPairEstimate

from ..convert.encoders import HandPairEncoder, MarkerEncoder, TransformEncoder, encode_faces
from ..node.parameters import Parameters
from .reading import Entry


class HandMessages:
    """HandPair, frames and meshes of one camera's estimates, or of those of several together, serialised as the node does it.

    faces: triangles of the (left, right) mesh. namespace: of the topics, without a slash at its end. frame_prefix: of the
    hands' frames. markers: lay the meshes out. faces_data: the message of `hands/faces`. with_vertices: estimates need them.
    meshes: knows what viewers show, which another one goes on from. problem: TransformEncoder's.
    """

    def __init__(
        self, faces: Sequence[np.ndarray], parameters: Parameters, namespace: str, frame_prefix: str, markers: bool
    ) -> None:
        self.namespace, self._vertices = namespace, parameters.publish_vertices
        self.faces_data = encode_faces(faces, parameters.hand_name)
        self._pairs = HandPairEncoder(parameters.network, parameters.hand_name)
        self._transforms = TransformEncoder(parameters.tf, frame_prefix)
        self.problem = self._transforms.problem
        self.meshes, self._laid_out = MarkerEncoder(faces, parameters.marker_lifetime), markers
        self.with_vertices = markers or parameters.publish_vertices

    def faces(self, time: int) -> Entry:
        """The triangles of the meshes, once for all."""
        return f"{self.namespace}/hands/faces", time, self.faces_data

    def encode(self, estimate: HandPairEstimate, frame_id: str, time: int, counts: tuple[int, int, int]) -> list[Entry]:
        """What the node publishes for an estimate, but for the seconds that it took, which are no two times the same. counts:
        see HandPairEncoder.encode."""
        pair = self._pairs.encode(estimate, frame_id, {}, counts, self._vertices)
        meshes = self.meshes.encode(estimate, frame_id) if self._laid_out else None
        frames = self._transforms.encode(estimate, frame_id)
        messages = (f"{self.namespace}/hands", pair), ("/tf", frames), (f"{self.namespace}/hands/markers", meshes)
        return [(topic, time, data) for topic, data in messages if data is not None]
