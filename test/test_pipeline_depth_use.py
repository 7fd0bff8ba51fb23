"""Depth images that are of no use, whole or for the hands, are told of in a sentence that says what came and what to do."""

import numpy as np
import pytest
from pipeline_support import CAMERA

from fourdhands_core.pipeline.depth_use import _EMPTY, _UNFIT, DepthUse
from fourdhands_core.pipeline.types import ABSENT, TRACKED, HandEstimate, HandPairEstimate

SHAPE = 240, 320


def room():
    """Metres: something at 0.6 m before a wall at 2 m, with holes."""
    metres = np.full(SHAPE, 2.0, np.float32)
    metres[60:180, 100:200] = 0.6
    metres[:, ::5] = np.nan
    return metres


ROOM = room()
MILLIMETRES = np.nan_to_num(1000.0 * ROOM).astype(np.uint16)


def pair(*by_depth):
    hands = [
        HandEstimate(side, False, ABSENT, float("nan"))
        if known == "absent"
        else HandEstimate(side, True, TRACKED, 0.0, joints=np.full((21, 3), 0.5), by_depth=known)
        for side, known in enumerate(by_depth)
    ]
    return HandPairEstimate(1, *hands, CAMERA)


@pytest.mark.parametrize(
    "image, words",
    [
        (np.zeros(SHAPE, np.uint16), ("all pixels are 0", "covered, switched off")),
        (np.zeros(SHAPE, np.float32), ("all pixels are 0", "covered, switched off")),
        (np.full(SHAPE, np.nan, np.float32), ("all pixels are not numbers", "covered")),
        (np.full(SHAPE, np.inf, np.float32), ("all pixels are not numbers", "covered")),
        (-ROOM, ("all pixels are negative", "covered")),
        (1000.0 * ROOM, ("80 % of the pixels say 600 to 2000 m", "millimetres: have the driver publish 16UC1")),
        (np.nan_to_num(ROOM).round().astype(np.uint16), ("80 % of the pixels say 1 to 2 mm", "look like metres")),
        (np.full(SHAPE, 65535, np.uint16), ("100 % of the pixels say 65535 mm", "from 0.1 to 10 m are used")),
        (np.full(SHAPE, 0.02, np.float32), ("100 % of the pixels say 0.02 m", "from 0.1 to 10 m are used")),
    ],
)
def test_what_came_and_what_to_do(image, words):
    use = DepthUse()
    for number in range(_EMPTY):
        assert number < 1 or use.problem(whole=True)
        assert not use.problem()
        use.look(image)
    for problem in (use.problem(), use.problem(whole=True)):
        assert "no usable distances" in problem and all(part in problem for part in words), problem
        assert "\n" not in problem
    assert words[0] == use.words
    use.look(MILLIMETRES)
    assert not use.problem() and use.words == "80 % of the pixels say 600 to 2000 mm"


@pytest.mark.parametrize("image", [ROOM, ROOM.astype(np.float64), MILLIMETRES, MILLIMETRES[::2, ::2], ROOM[:1, :1] + 1.0])
def test_a_room_is_no_fault(image):
    use = DepthUse()
    for _ in range(2 * _EMPTY):
        use.look(np.nan_to_num(image, nan=1.0) if image.size == 1 else image)
        assert use.placed(pair(True, "absent"))
    assert not use.problem() and not use.problem(whole=True)


def test_depth_that_fits_no_hand_is_told_once_it_lasts():
    """As of ten times the distance, or of another view; a hand that is too near for a while is none."""
    use = DepthUse()
    for number in range(3 * _UNFIT):
        use.look(10 * MILLIMETRES)
        assert use.placed(pair(None, None)) and use.placed(pair("absent", "absent"))
        assert use.placed(pair(False, "absent" if number % 2 else False)) is False
        assert (number + 1 >= _UNFIT) == bool(use.problem())
    assert "fit none of the hands (80 % of the pixels say 6000 to 20000 mm; hands seem 0.50 m away)" in use.problem()
    assert "aligned" in use.problem() and "16UC1 millimetres" in use.problem()
    assert use.placed(pair(False, True)) and not use.problem() and use.problem(whole=True)
    for _ in range(_UNFIT):
        use.placed(pair(True, True))
    for _ in range(_UNFIT - 1):
        use.placed(pair(False, False))
    assert not use.problem() and not use.problem(whole=True)


def test_without_depth_images_nothing_is_told():
    use = DepthUse()
    for _ in range(2 * _UNFIT):
        assert use.placed(pair(None, None))
    assert not use.problem(whole=True) and not use.words
