"""What the targets are given: for every kind of input a strategy for its bytes, from good ones to anything at all."""

from __future__ import annotations

from file_inputs import (
    CAMERA_FILE,
    ECHOED,
    KALIBR_FILE,
    SHAPE_FILE,
    checkpoint,
    checkpoints,
    hand_files,
    hand_model,
    memories,
    pickles,
    rezipped,
    weights,
    whole_weights,
    yaml_file,
)
from hypothesis import strategies as st
from message_inputs import ENCODINGS, bags, camera_info, compressed, image, parameters
from mutations import mutated, or_anything


def inputs() -> dict[str, tuple[int, st.SearchStrategy[bytes]]]:
    """Of each target its part of a campaign, in hundredths, and its inputs."""
    deep = checkpoints()[:1]
    return {
        "image": (20, or_anything(image(ENCODINGS))),
        "compressed_image": (14, compressed()),
        "depth_image": (12, or_anything(image(("16UC1", "mono16", "32FC1", "rgb8")))),
        "camera_info": (5, or_anything(camera_info())),
        "set_parameters": (16, parameters()),
        "start_parameters": (1, parameters()),
        "mcap": (4, mutated(bags("mcap"))),
        "sqlite3": (4, mutated(bags("sqlite3"))),
        "weights": (6, st.one_of(weights(), weights(), mutated(whole_weights()))),
        "checkpoint": (1, st.one_of(checkpoint(), mutated(checkpoints()), rezipped(deep))),
        "memory": (6, st.one_of(mutated(memories()), rezipped(memories()))),
        "mano": (4, mutated(pickles())),
        "hand_model": (3, st.one_of(hand_model(), mutated(hand_files()), rezipped(hand_files()))),
        "hand_shape": (2, or_anything(yaml_file(SHAPE_FILE))),
        "intrinsics": (2, or_anything(st.sampled_from([CAMERA_FILE, ECHOED, KALIBR_FILE]).flatmap(yaml_file))),
    }
