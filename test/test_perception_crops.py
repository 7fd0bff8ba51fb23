"""Crops for the image network agree with the published arithmetic, and with the points inside them."""

import cv2
import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from fourdhands_core.perception.crops import crop_hands, from_crop, square_around, to_crop
from released_support import DATA


def test_crops_agree_with_the_reference():
    truth = np.load(DATA / "crop_reference.npz")
    image = cv2.cvtColor(cv2.imread(str(DATA / "crop_image.png")), cv2.COLOR_BGR2RGB)
    squares = square_around(np.stack([truth["box_left_xyxy"], truth["box_right_xyxy"]]))
    np.testing.assert_allclose(squares, [truth["square_left_xywh"], truth["square_right_xywh"]], atol=1e-4)
    crops = crop_hands(torch.from_numpy(image), squares, [True, False]).permute(0, 2, 3, 1).numpy()
    for crop, name in zip(crops, ("crop_left", "crop_right")):
        difference = np.abs(crop[::4, ::4] - truth[name][:, 8:56])
        assert difference.max() < 0.05 and difference.mean() < 0.005


def test_a_square_outside_the_image_is_black():
    crop = crop_hands(torch.full((40, 60, 3), 255, dtype=torch.uint8), [[200.0, 100.0, 50.0, 50.0]], [False])
    black = torch.tensor([-123.675 / 58.395, -116.28 / 57.12, -103.53 / 57.375])
    torch.testing.assert_close(crop, black.view(1, 3, 1, 1).expand(1, 3, 256, 192))


@given(x=st.floats(-300, 600), y=st.floats(-300, 600), side=st.floats(30, 900), left=st.booleans())
def test_points_follow_the_crop(x, y, side, left):
    """A bright dot in the image is where `to_crop` says in the crop."""
    square = np.array([x, y, side, side])
    point = np.array([320.0, 240.0])
    np.testing.assert_allclose(from_crop(to_crop(point, square, left), square, left), point, atol=1e-6)
    place = to_crop(point, square, left)
    if not ((place > (40, 8)) & (place < (216, 248))).all():
        return
    image = np.zeros((480, 640, 3), np.uint8)
    cv2.circle(image, (320, 240), max(3, int(side / 60)), (255, 255, 255), -1)
    crop = crop_hands(torch.from_numpy(image), square[None], [left])[0, 0].numpy()
    bright = crop - crop.min()
    v, u = np.mgrid[:256, :192]
    centre = np.array([(bright * u).sum(), (bright * v).sum()]) / bright.sum()
    np.testing.assert_allclose(centre + (32, 0), place, atol=0.3)
