"""Overlays land on the hands they belong to, in place, and survive what an estimate may lack."""

import numpy as np
import pytest

from fourdhands_core.geometry.camera import Camera
from fourdhands_core.hand_model.assets import load_generic_hand
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT
from fourdhands_core.media.choreography import demo_motion, pose_hands
from fourdhands_core.media.draw import contact_sheet, draw_hands, draw_text
from fourdhands_core.pipeline.types import ABSENT, HELD, TRACKED, HandEstimate, HandPairEstimate

CAMERA = Camera.from_fov(640, 480, 64.0)


def hand(side, joints, vertices=None, state=TRACKED, confidence=None):
    return HandEstimate(
        side,
        True,
        state,
        0.1,
        0.9,
        joints=joints,
        joints_2d=CAMERA.project(joints),
        joint_confidence=confidence,
        vertices=vertices,
    )


@pytest.fixture(scope="module")
def hands():
    vertices, joints = pose_hands(demo_motion(12.0, 1.0))
    return vertices[0], joints[0]


def absent(side):
    return HandEstimate(side, False, ABSENT, np.nan)


def frame():
    return np.full((480, 640, 3), 128, np.uint8)


def test_skeletons_are_drawn_where_the_joints_are_in_their_sides_colours(hands):
    _, joints = hands
    image = frame()
    draw_hands(image, HandPairEstimate(0, hand(LEFT, joints[LEFT]), hand(RIGHT, joints[RIGHT]), CAMERA))
    for side, warm in ((LEFT, False), (RIGHT, True)):
        x, y = CAMERA.project(joints[side])[0].round().astype(int)
        assert (image[y, x, 0] > image[y, x, 2]) == warm
        for x, y in CAMERA.project(joints[side]).round().astype(int):
            assert (image[y - 1 : y + 2, x - 1 : x + 2] != 128).any()
    changed = (image != 128).any(axis=-1)
    assert 0.005 < changed.mean() < 0.15


def test_an_absent_hand_is_not_drawn_and_a_held_one_is_thinner(hands):
    _, joints = hands
    untouched = frame()
    draw_hands(untouched, HandPairEstimate(0, absent(LEFT), absent(RIGHT), CAMERA))
    assert (untouched == 128).all()
    areas = []
    for state in (TRACKED, HELD):
        image = frame()
        draw_hands(image, HandPairEstimate(0, absent(LEFT), hand(RIGHT, joints[RIGHT], state=state), CAMERA))
        assert (image[:, 400:] == 128).all()  # nothing on the left hand's side of the picture
        label = int(CAMERA.project(joints[RIGHT])[:, 1].max())
        areas.append((image[:label] != 128).any(axis=-1).sum())
    assert areas[1] < 0.8 * areas[0]


def test_joints_behind_or_far_outside_are_left_out(hands):
    _, joints = hands
    wild = joints[RIGHT].copy()
    wild[8, 2], wild[12] = -0.1, [1e4, 0.0, 1e-5]
    draw_hands(frame(), HandPairEstimate(0, absent(LEFT), hand(RIGHT, wild, confidence=np.zeros(21)), CAMERA))
    draw_hands(frame(), HandPairEstimate(0, absent(LEFT), hand(RIGHT, wild * [1, 1, -1]), CAMERA))


def test_meshes_are_translucent_and_cover_the_hand(hands):
    vertices, joints = hands
    faces = load_generic_hand().faces
    image = frame()
    pair = HandPairEstimate(0, absent(LEFT), hand(RIGHT, joints[RIGHT], vertices[RIGHT]), CAMERA)
    draw_hands(image, pair, (faces, faces))
    palm = CAMERA.project(0.5 * (joints[RIGHT, 0] + joints[RIGHT, 9]) + [0.008, 0, 0]).round().astype(int)
    assert (image[palm[1], palm[0]] != 128).any()
    without = HandPairEstimate(0, absent(LEFT), hand(RIGHT, joints[RIGHT]), CAMERA)
    draw_hands(frame(), without, (faces, faces))


def test_texts_stay_inside_and_do_not_cover_each_other():
    image = frame()
    first = draw_text(image, "left tracked 0.90", (600, 470))
    assert first[0] + first[2] <= 640 and first[1] + first[3] <= 480
    second = draw_text(image, "right tracked 0.90", (590, 468), taken=first)
    assert second[1] + second[3] <= first[1]


def test_contact_sheets_hold_every_frame_in_order():
    frames = [np.full((48, 64, 3), 20 * i + 40, np.uint8) for i in range(5)]
    sheet = contact_sheet(frames, columns=3, cell_width=64)
    assert sheet.shape == (2 * 52 + 4, 3 * 68 + 4, 3)
    assert [int(sheet[28 + 52 * (i // 3), 36 + 68 * (i % 3), 0]) for i in range(5)] == [40, 60, 80, 100, 120]
    assert contact_sheet(frames[:1], columns=4).shape[1] == 328
    with pytest.raises(ValueError):
        contact_sheet([])
