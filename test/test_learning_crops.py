"""Crops rendered for training: they are what a crop of the camera's image is, and their truth is exact."""

import cv2
import numpy as np
import pytest

from fourdhands_core.cli import main
from fourdhands_core.errors import DatasetError, InputError
from fourdhands_core.geometry.rotations import mirror_matrix
from fourdhands_core.hand_model.arrays import HandArrays
from fourdhands_core.hand_model.assets import load_human_hand, pair_of
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT
from fourdhands_core.learning.datasets.registry import open_dataset
from fourdhands_core.learning.synthesis.clips import ClipSynthesis
from fourdhands_core.learning.synthesis.scene import OBJECT
from fourdhands_core.learning.synthesis.settings import LookSettings, SynthesisSettings
from fourdhands_core.pipeline.image_regression import square_of
from fourdhands_core.runtime.crops import SCALE, SHIFT, crop_hands, to_crop

FEW = LookSettings(skins=2, backgrounds=2, occluded=0.0)
CALM = SynthesisSettings(view_angle=12.0, single_share=0.0, together_share=0.0, depth_range=(0.4, 0.8), looks=FEW)


@pytest.fixture(scope="module")
def synthesis():
    return ClipSynthesis(CALM, seed=3)


@pytest.fixture(scope="module")
def clips(synthesis):
    return synthesis.draw(5, 12, np.array([0.0, 0.1]))


def squares_of(clip, t):
    return np.stack([square_of(clip.points[t, side]) for side in (LEFT, RIGHT)])


def test_a_rendered_crop_is_the_crop_of_the_rendered_image(synthesis, clips):
    compared = 0
    for clip in clips:
        if not clip.present[0].all():
            continue
        squares = squares_of(clip, 0)
        image, _ = synthesis.image(clip, 0)
        rendered, _ = synthesis.crops(clip, 0, squares)
        cut = (crop_hands(image, squares, np.array([True, False])).transpose(0, 2, 3, 1) - SHIFT) / SCALE
        smooth = [cv2.GaussianBlur(crop.astype(np.float32), (0, 0), 3.0) for crop in (*rendered, *cut)]
        for side in (LEFT, RIGHT):
            inside = (cut[side].sum(-1) > 0) & (rendered[side].sum(-1) > 0)
            assert np.abs(smooth[side] - smooth[side + 2])[inside].mean() < 4.0  # grey levels
            compared += 1
    assert compared >= 8


def test_hands_show_where_their_vertices_are_projected(synthesis, clips):
    for clip in clips[:6]:
        _, label = synthesis.image(clip, 0)
        for side in np.flatnonzero(clip.present[0]):
            mirror = (-1.0, 1.0, 1.0) if side == LEFT else (1.0, 1.0, 1.0)
            pixels = clip.camera.project((clip.vertices[0, side] + clip.root[0, side]) * mirror)
            inside = ((pixels > 1) & (pixels < (clip.camera.width - 2, clip.camera.height - 2))).all(-1)
            x, y = np.round(pixels[inside]).astype(int).T
            drawn = cv2.dilate((label == 1 + side).astype(np.uint8), np.ones((3, 3), np.uint8))
            other = label == 2 - side  # the other hand may lie in front
            assert (drawn[y, x].astype(bool) | other[y, x]).mean() > 0.99


def test_joints_lie_on_the_hand_in_its_crop(synthesis, clips):
    clip = next(clip for clip in clips if clip.present[0].all())
    crops, seen = synthesis.crops(clip, 0, squares_of(clip, 0))
    assert seen.all() and crops.shape == (2, 256, 192, 3)
    for side in (LEFT, RIGHT):
        points = to_crop(clip.points[0, side], squares_of(clip, 0)[side], side == LEFT)
        assert (points > 0).all() and (points < 256).all()
        middle = (points.min(0) + points.max(0)) / 2
        np.testing.assert_allclose(middle, 128.0, atol=1e-6)


def test_the_same_seed_gives_the_same_pictures_and_another_one_others(synthesis):
    images = []
    for made, seed in ((synthesis, 8), (ClipSynthesis(CALM, seed=3), 8), (synthesis, 9)):
        (clip,) = made.draw(seed, 1, np.zeros(1))
        images.append(made.image(clip, 0)[0])
    assert np.array_equal(images[0], images[1]) and not np.array_equal(images[0], images[2])


def test_objects_lie_in_front_of_hands():
    covered = ClipSynthesis(SynthesisSettings(view_angle=10.0, looks=LookSettings(2, 2, occluded=1.0)), seed=1)
    shares = []
    for clip in covered.draw(2, 16, np.zeros(1)):
        _, label = covered.image(clip, 0)
        shares.append((label == OBJECT).mean())
    assert np.mean(np.array(shares) > 0.0) > 0.4 and max(shares) < 0.6


def test_a_dataset_on_disk_is_read_back_with_its_exact_truth(tmp_path, capsys):
    root = tmp_path / "rendered"
    assert main(["data", "synthesise", str(root), "--clips", "3", "--frames", "4", "--seed", "2", "--quiet"]) == 0
    dataset = open_dataset("synthetic", root)
    assert len(dataset) == 12 and dataset.frame_rate == 30.0
    assert {name: list(frames) for name, frames in dataset.sequences.items()} == {
        f"{k:05d}": list(range(4 * k, 4 * k + 4)) for k in range(3)
    }
    arrays, hands = HandArrays(pair_of(load_human_hand())), 0
    for frame in (dataset[k] for k in range(12)):
        assert frame.load().shape == (480, 640, 3) and frame.complete
        for side, hand in enumerate(frame.hands):
            if hand is None:
                continue
            hands += 1
            np.testing.assert_allclose(frame.camera.project(hand.joints), hand.points, atol=0.02)
            pair = [np.stack([value, value]) for value in (hand.rotations[0], hand.rotations[1:], hand.betas)]
            posed = arrays.joints(*pair)[side]
            np.testing.assert_allclose(hand.joints - hand.joints[0], posed, atol=1e-5)
            np.testing.assert_allclose(hand.vertices - hand.joints[0], arrays.vertices(*pair)[side], atol=1e-5)
    assert hands >= 8
    # what a camera makes of a still picture: noise, and blur where it shakes
    clean, _ = ClipSynthesis(seed=2).image(ClipSynthesis(seed=2).draw(2 * 1_000_003 + 1, 1, np.arange(4) / 30.0)[0], 0)
    taken = dataset[0].load().astype(float)
    smooth = [cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 6.0) for picture in (clean, taken)]
    assert np.corrcoef(smooth[0].ravel(), smooth[1].ravel())[0, 1] > 0.98 and np.abs(taken - clean).mean() > 0.5
    png = tmp_path / "samples.png"
    assert main(["data", "check", "synthetic", str(root), "--out", str(png)]) == 0
    assert "12 frames" in capsys.readouterr().out and png.is_file()

    assert main(["data", "synthesise", str(root), "--clips", "1"]) == 2  # never into a folder that holds something
    (tmp_path / "killed" / ".fourdhands-partial-x").mkdir(parents=True)  # but into one that a killed process left
    assert main(["data", "synthesise", str(tmp_path / "killed"), "--clips", "1", "--frames", "1", "--quiet"]) == 0
    assert {path.name for path in (tmp_path / "killed").iterdir()} == {"annotations.npz", "images"}
    (root / "annotations.npz").write_bytes(b"PK damaged")
    with pytest.raises(DatasetError, match="annotations.npz cannot be read"):
        open_dataset("synthetic", root)


def test_settings_out_of_range_are_refused():
    with pytest.raises(InputError, match="fov"):
        SynthesisSettings(fov=(60.0, 40.0))


def test_own_coordinates_are_the_mirrored_left_hand(clips):
    clip = clips[0]
    arrays = HandArrays(pair_of(load_human_hand()))
    rotations = clip.rotations[0].copy()
    rotations[LEFT] = mirror_matrix(rotations[LEFT])
    joints = arrays.joints(rotations[:, 0], rotations[:, 1:], clip.betas)
    np.testing.assert_allclose(joints[LEFT] * (-1.0, 1.0, 1.0), clip.joints[0, LEFT], atol=1e-9)
    np.testing.assert_allclose(joints[RIGHT], clip.joints[0, RIGHT], atol=1e-9)
