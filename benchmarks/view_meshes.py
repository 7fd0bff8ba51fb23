"""What meshes of hands cost a client of the page: as vertices, as they are sent, and as bones of a skinned mesh.

`python benchmarks/view_meshes.py VIDEO [--fov 60] [--seconds 8]` tracks the video and prints, by hand model: bytes a picture of
both hands, either way, as viser sends them; and millimetres by which a surface that bones alone move, with the shape of the
first image and viser's four weights a vertex, is off the vertices: the largest of each image, its median and maximum.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from fourdhands_core.geometry.camera_source import CameraSource
from fourdhands_core.geometry.rotations import matrix_from_axis_angle
from fourdhands_core.hand_model.arrays import HandArrays
from fourdhands_core.hand_model.assets import SHIPPED_HANDS, HandAsset, open_hand, pair_of
from fourdhands_core.pipeline.tracker import HandPairTracker, TrackerSettings
from fourdhands_core.pipeline.types import HandEstimate
from fourdhands_core.view.posing import HandPoser, wrist_rotation, wxyz
from fourdhands_core.view.recordings import VideoRecording

INFLUENCES = 4
"""Bones that move a vertex of viser's skinned meshes."""


@dataclass
class Skin:
    """A hand at rest, in its first shape, and the weights that viser takes of its own."""

    asset: HandAsset
    rest: np.ndarray
    joints: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, asset: HandAsset, betas: np.ndarray) -> Skin:
        """By the shape (10,) of the first image."""
        rest = asset.v_template + asset.shapedirs @ betas
        order = np.argsort(asset.weights, axis=1)
        weights = asset.weights.copy()
        np.put_along_axis(weights, order[:, :-INFLUENCES], 0.0, axis=1)
        return cls(asset, rest, asset.J_regressor @ rest, weights)

    def bones(self, hand: HandEstimate) -> tuple[np.ndarray, np.ndarray]:
        """Rotations (16, 3, 3) and positions (16, 3) of the bones, from the wrist."""
        local = matrix_from_axis_angle(np.asarray(hand.hand_pose, float).reshape(15, 3))
        arrays, given = HandArrays([self.asset]), wrist_rotation(hand)
        assert given is not None and hand.betas is not None
        _, rotations, positions = arrays._bones(given[None], local[None], np.asarray(hand.betas, float)[None])
        return rotations[0], positions[0]

    def drawn(self, hand: HandEstimate) -> np.ndarray:
        """The surface (778, 3) as a browser moves it."""
        rotations, positions = self.bones(hand)
        moved = np.einsum("bij,vbj->vbi", rotations, self.rest[:, None] - self.joints) + positions
        return np.einsum("vb,vbi->vi", self.weights, moved)


def off(asset: HandAsset, hands: list[HandEstimate], newest_shape: bool) -> np.ndarray:
    """Metres by which the surface that bones move is off at most, image by image. newest_shape: the rest is of each image."""
    poser, skin, errors = HandPoser(asset), None, []
    for hand in hands:
        if skin is None or newest_shape:
            skin = Skin.of(asset, np.asarray(hand.betas, float))
        vertices = poser.vertices(hand)
        assert vertices is not None
        errors.append(np.linalg.norm(skin.drawn(hand) - vertices, axis=1).max())
    return np.array(errors)


def bytes_a_picture(pictures: int, make: Callable[[Any], Callable[[int], None]]) -> float:
    """Bytes that a client gets for a picture. make: puts what is drawn into a server, and returns what changes it."""
    import viser
    from websockets.sync.client import connect

    from fourdhands_core.view.serving import serve

    served, came = serve(port=0), [0]
    change = make(served.server)
    address = served.url.replace("http", "ws")
    with connect(address, subprotocols=[f"viser-v{viser.__version__}"], max_size=None, compression=None) as client:  # type: ignore[list-item]

        def take() -> None:
            for data in client:
                came[0] += len(data)

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        time.sleep(2.0)
        before = came[0]
        for number in range(pictures):
            with served.server.atomic():
                change(number)
            time.sleep(0.1)
        time.sleep(1.0)
        total = came[0] - before
    thread.join(10.0)
    served.close()
    return total / pictures


def as_vertices(pair: tuple[HandAsset, HandAsset], hands: list[list[HandEstimate]]) -> Callable[[Any], Callable[[int], None]]:
    """As scene.CameraScene sends them."""
    posers = [HandPoser(asset) for asset in pair]

    def make(server: Any) -> Callable[[int], None]:
        nodes = [
            server.scene.add_mesh_simple(f"/{side}", np.zeros((778, 3), np.float32), posers[side].faces) for side in range(2)
        ]

        def change(number: int) -> None:
            for side in range(2):
                hand = hands[side][number % len(hands[side])]
                nodes[side].vertices, nodes[side].position = posers[side].vertices(hand), hand.joints[0]

        return change

    return make


def as_bones(pair: tuple[HandAsset, HandAsset], hands: list[list[HandEstimate]]) -> Callable[[Any], Callable[[int], None]]:
    """As a skinned mesh would have them."""
    skins = [Skin.of(asset, np.asarray(hands[side][0].betas, float)) for side, asset in enumerate(pair)]

    def make(server: Any) -> Callable[[int], None]:
        straight = np.tile([1.0, 0.0, 0.0, 0.0], (16, 1))
        nodes = [
            server.scene.add_mesh_skinned(
                f"/{side}",
                skin.rest.astype(np.float32),
                skin.asset.faces,
                bone_wxyzs=straight,
                bone_positions=skin.joints,
                skin_weights=skin.weights,
            )
            for side, skin in enumerate(skins)
        ]

        def change(number: int) -> None:
            for side in range(2):
                hand = hands[side][number % len(hands[side])]
                rotations, positions = skins[side].bones(hand)
                nodes[side].position = hand.joints[0]
                for bone, turn, place in zip(nodes[side].bones, wxyz(rotations), positions):
                    bone.wxyz, bone.position = turn, place

        return change

    return make


def tracked(video: Path, fov: float, seconds: float) -> list[list[HandEstimate]]:
    """By side the hands that were seen in a video."""
    pair = pair_of(open_hand(""))
    recording = VideoRecording(str(video), HandPairTracker(TrackerSettings()), CameraSource(fov, fov=fov), pair)
    while recording.advance() and (len(recording.course) < 2 or np.ptp(recording.course.stamp) < seconds * 1e9):
        pass
    moments = [recording.moment(row).pair for row in range(len(recording.course))]
    recording.close()
    return [[one.hands[side] for one in moments if one.hands[side].valid] for side in range(2)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--fov", type=float, default=60.0)
    parser.add_argument("--seconds", type=float, default=8.0)
    args = parser.parse_args()
    hands = tracked(args.video, args.fov, args.seconds)
    result: dict[str, Any] = {"images with hands": [len(one) for one in hands]}
    for name in SHIPPED_HANDS:
        pair = pair_of(open_hand(name))
        said: dict[str, Any] = {"bones that move a vertex, at most": int((pair[1].weights > 1e-6).sum(axis=1).max())}
        for newest, words in ((False, "bones alone"), (True, "bones, and the shape sent anew")):
            errors = 1e3 * np.concatenate([off(pair[side], hands[side], newest) for side in range(2) if hands[side]])
            said[f"{words}: off, mm, median and maximum"] = [round(float(np.median(errors)), 2), round(float(errors.max()), 2)]
        if all(hands):
            said["bytes a picture as vertices"] = round(bytes_a_picture(50, as_vertices(pair, hands)))
            said["bytes a picture as bones"] = round(bytes_a_picture(50, as_bones(pair, hands)))
        result[name] = said
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
