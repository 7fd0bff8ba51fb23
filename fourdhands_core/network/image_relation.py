"""Relation maps of two hands' image crops (RAT): the paper's Eq. 1-4, and the ones the released weights were trained with."""

from __future__ import annotations

import torch

from .image_config import COLUMNS, CROP_HEIGHT, CROP_WIDTH, ROWS

PAPER_CHANNELS, RELEASED_CHANNELS = 5, 11
FAR = 10.0
"""An absent hand is taken to be this many widths of the other's square away (section 4.5: far, so that it does not count)."""


def with_absent_far_away(squares: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """Squares (B, 2, 4) of the (left, right) hand, those of absent ones put beside the other hand, on their own side.

    squares: x, y, w, h in pixels, x and y of the left upper corner. present: (B, 2) bool.
    """
    other = squares.flip(1)
    shift = torch.zeros_like(squares)
    shift[:, 0, 0] = -FAR * other[:, 0, 2]
    shift[:, 1, 0] = FAR * other[:, 1, 2]
    # with no hand at all, any square will do
    beside = torch.where(present.flip(1)[..., None], other + shift, torch.ones_like(squares))
    return torch.where(present[..., None], squares, beside)


def paper_relation(squares: torch.Tensor, tau: float, grid: tuple[int, int] = (ROWS, COLUMNS)) -> torch.Tensor:
    """Eq. 1-3 for squares (B, 2, 4) x, y, w, h: maps (B, 2, 16, 12, 5) of D to the other hand (2), D from it (2), O (1).

    grid: rows and columns, of maps of another size.

    The box B of Eq. 1 is the crop's part of the square, 3/4 as wide as high.
    """
    centre, size = _centre_and_size(squares)
    size = torch.stack([size[..., 0] * CROP_WIDTH / CROP_HEIGHT, size[..., 1]], -1)
    rows, columns = grid
    i = (2.0 * torch.arange(columns, device=squares.device) - columns) / (2.0 * columns)
    k = (2.0 * torch.arange(rows, device=squares.device) - rows) / (2.0 * rows)
    steps = torch.stack(torch.meshgrid(i, k, indexing="xy"), -1)  # (16, 12, 2)
    centre, size = centre[:, :, None, None], size[:, :, None, None]
    position = centre + steps * size  # Eq. 1
    difference = position - position.flip(1)
    inside = ((position - centre.flip(1)).abs() < size.flip(1) / 2).all(-1, keepdim=True)
    return torch.cat(
        [
            torch.sigmoid(tau * difference / size),
            torch.sigmoid(-tau * difference / size.flip(1)),  # Eq. 2, both ways
            torch.where(inside, 1.0, -1.0),
        ],
        -1,
    )  # Eq. 3


def released_relation(squares: torch.Tensor) -> torch.Tensor:
    """The released weights' maps (B, 2, 16, 12, 11) for squares (B, 2, 4) x, y, w, h of the (left, right) hand.

    Eight channels of distances through a sigmoid, two of overlap that are constant there, one that names the side. The
    left hand sees the right one mirrored about its own centre, as its crop is mirrored too.
    """
    left, right = squares[:, 0], squares[:, 1]
    centre_left, _ = _centre_and_size(left)
    centre_right, _ = _centre_and_size(right)
    mirrored = right.clone()
    mirrored[:, 0] += 2.0 * (centre_left[:, 0] - centre_right[:, 0])
    return torch.stack([_released(left, mirrored, -0.01), _released(left, right, 0.01)], 1)


def _released(left, right, side):
    position_left, position_right = _released_positions(left), _released_positions(right)
    centre_left, centre_right = (_centre_and_size(square)[0][:, None, None] for square in (left, right))
    width_left, width_right = left[:, None, None, 2:3], right[:, None, None, 2:3]
    distance = torch.sigmoid(
        torch.cat(
            [
                (position_right - position_left) / width_right,
                (position_left - position_right) / width_left,
                (position_right - centre_left) / width_right,
                (position_left - centre_right) / width_left,
            ],
            -1,
        )
    )
    constant = torch.full_like(distance[..., :1], 0.01)
    return torch.cat([distance, constant, constant, torch.full_like(constant, side)], -1)


def _released_positions(square):
    """(B, 16, 12, 2): positions of the grid of 16 x 16 over the square, its columns 2 to 13."""
    k = torch.arange(ROWS, device=square.device) / 16.0
    i = torch.arange(2, 2 + COLUMNS, device=square.device) / 16.0
    grid = torch.stack(torch.meshgrid(i, k, indexing="xy"), -1)
    return square[:, None, None, :2] + grid * square[:, None, None, 2:]


def _centre_and_size(squares):
    return squares[..., :2] + squares[..., 2:] / 2, squares[..., 2:]
