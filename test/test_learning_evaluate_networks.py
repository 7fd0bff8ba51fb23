"""Networks on datasets: what the image network is shown of a frame, and `fourdhands evaluate --dataset`."""

import csv
import json
import pickle

import cv2
import dataset_fixtures_freihand as freihand
import numpy as np
import pytest
import torch
from network_support import small_network
from test_learning_evaluate_dataset import HANDS, Made

from fourdhands_core.cli import main
from fourdhands_core.geometry.camera import Camera
from fourdhands_core.hand_model.arrays import HandArrays
from fourdhands_core.hand_model.assets import load_human_hand, pair_of
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT, TO_21
from fourdhands_core.learning.datasets.frames import DatasetFrame
from fourdhands_core.learning.datasets.registry import open_dataset
from fourdhands_core.learning.evaluation import report as report
from fourdhands_core.learning.evaluation.predictors import ImagePredictor
from fourdhands_core.learning.landmark.measure_errors import clip_motions
from fourdhands_core.learning.landmark.motion import MotionSampler
from fourdhands_core.media.clips import HandScene, clip_truth, pose_hands, render_frames
from fourdhands_core.network.checkpoint import save_weights
from fourdhands_core.pipeline.image_regression import ImageRegressor, square_of
from fourdhands_core.runtime.crops import crop_hands
from fourdhands_core.runtime.image import TorchImage


def image_network():
    made = small_network(depth=1, hand_width=64, decoder_layers=1, temporal_layers=1)
    with torch.no_grad():  # away from the flat hand that an untrained network begins at
        for head in (made.pose, made.betas, made.camera, made.relative):
            head.weight.mul_(2.0)
        made.camera.bias.copy_(torch.tensor([4.0, 0.0, 0.0]))
    return made


class Spy:
    """A regressor that keeps what it is given."""

    sees, half_window = True, 4 * 5 / 30

    def __init__(self, regressor):
        self.regressor, self.encoded, self.windows = regressor, [], []

    def encode(self, frame):
        self.encoded.append((frame.image, frame.detections))
        self.regressor.encode(frame)

    def regress(self, frames, target):
        self.windows.append((len(frames), frames.index(target)))
        return self.regressor.regress(frames, target)


def test_image_network_sees_the_true_boxes_and_whole_windows(tmp_path):
    hands = HandArrays(pair_of(load_human_hand()))
    spy = Spy(ImageRegressor(TorchImage(image_network()), hands, np.zeros(45)))
    dataset = Made(tmp_path, (50,))
    predictor = ImagePredictor(spy, hands)
    got = list(predictor.predict((dataset[k] for k in range(50)), 30.0))
    assert [frame.key for frame, _ in got] == [f"{k:04d}" for k in range(50)]
    # 20 frames before and after, as far as there are
    assert spy.windows == [(min(k, 20) + 1 + min(49 - k, 20), min(k, 20)) for k in range(50)]
    truth = dataset.hands_there
    for side in (LEFT, RIGHT):
        np.testing.assert_allclose(square_of(spy.encoded[0][1][side].landmarks), square_of(truth[side].points))
    found = got[25][1]
    assert np.isfinite(found.joints).all() and np.isfinite(found.left_root).all() and np.isfinite(found.wrist).all()
    projected = dataset.camera.project(found.joints + found.wrist[:, None])
    assert np.linalg.norm(projected - found.points, axis=-1).mean() < 30.0  # the wrists are where the network sees the hands
    spy.windows.clear()
    list(predictor.predict((dataset[k] for k in range(3)), None))
    assert spy.windows == [(1, 0)] * 3


@pytest.mark.parametrize("side", [LEFT, RIGHT])
def test_a_single_hand_is_its_own_opposite_far_away(tmp_path, side):
    hands = HandArrays(pair_of(load_human_hand()))
    regressor = ImageRegressor(TorchImage(image_network()), hands, np.zeros(45))
    dataset = Made(tmp_path)
    both = dataset[0]
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 255, (480, 640, 3), dtype=np.uint8), (0, 0), 3)
    alone = DatasetFrame("a", tuple(both.hands[k] if k == side else None for k in (0, 1)), both.camera, lambda: image)
    spy = Spy(regressor)
    ((_, found),) = ImagePredictor(spy, hands).predict(iter([alone]), None)
    picture, detections = spy.encoded[0]
    assert np.isfinite(found.joints[side]).all() and np.isnan(found.joints[1 - side]).all()
    squares = np.stack([square_of(detection.landmarks) for detection in detections])
    crops = crop_hands(picture, squares, np.array([True, False]))
    plain = crop_hands(image, square_of(both.hands[side].points)[None], np.array([side == LEFT]))
    np.testing.assert_allclose(crops[side], plain[0], atol=0.05)
    np.testing.assert_allclose(crops[1 - side], plain[0], atol=0.05)
    assert squares[LEFT, 0] + squares[LEFT, 2] < squares[RIGHT, 0]
    # alone, without its opposite, it is seen at the same place
    ((_, single),) = ImagePredictor(regressor, hands, opposite=False).predict(iter([alone]), None)
    assert np.linalg.norm(single.points[side] - found.points[side], axis=-1).mean() < 60.0


def run(capsys, *arguments):
    code = main(["evaluate", *map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_command_with_an_image_network(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    freihand.write(tmp_path / "data", HANDS)
    save_weights(image_network(), tmp_path / "small.safetensors")
    arguments = f"--dataset freihand --data {tmp_path}/data --split training --model image --frames 2".split()
    arguments += ["--weights", tmp_path / "small.safetensors", "--out", tmp_path / "out"]
    code, text, _ = run(capsys, *arguments)
    assert code == 0 and "FreiHAND training: 2 frames, 2 hands with joints, 2 found" in text
    assert "MRRPE mm" in text.split("left out")[1] and "human hand stands in" in text and "2 of 12 frames" in text
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["overall"]["mpjpe"] > 0 and results["model"] == "image" and results["units"]["mpjpe"] == "mm"
    rows = list(csv.DictReader((tmp_path / "out" / "samples.csv").open()))
    assert [row["key"] for row in rows] == ["training/00000000.jpg", "training/00000001.jpg"]
    assert np.mean([float(row["mpjpe"]) for row in rows]) == pytest.approx(results["overall"]["mpjpe"], abs=1e-3)
    assert cv2.imread(str(tmp_path / "out" / "worst.png")).shape[0] > 300
    code, text, _ = run(capsys, *arguments, "--boxes", "detector")  # grey pictures, in which it finds no hand
    assert code == 0 and "2 hands with joints, 0 found" in text and "0 of 2 hands were found" in text
    assert not (tmp_path / "out" / "worst.png").exists()
    code, _, error = run(
        capsys, "--dataset", "freihand", "--data", tmp_path / "data", "--split", "training", "--boxes", "ground-truth"
    )
    assert code == 2 and "boxes of the ground truth are for model image" in error


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--dataset", "nothing", "--data", "."), "there is no dataset 'nothing'; there are InterHand2.6M"),
        (("--dataset", "freihand"), "go together"),
        (("--data", "."), "go together"),
        (("--dataset", "freihand", "--data", "/nowhere"), "/nowhere is not a folder"),
        (("--dataset", "freihand", "--data", "{}"), "evaluation_K.json is missing"),
        (("--dataset", "freihand", "--data", "{}", "--depth"), "measurements of their own"),
    ],
)
def test_command_tells_mistakes(tmp_path, capsys, arguments, message):
    code, _, error = run(capsys, *(argument.format(tmp_path) for argument in arguments))
    assert code == 2 and message in error


def test_command_with_the_shipped_network_on_rendered_hands(tmp_path, capsys):
    """A rendered right hand in HO3D's layout: found, and measured to a hand's accuracy."""
    length, seed = 12, 990_017
    times = torch.arange(length)[None] / 30.0
    (motion,) = clip_motions(MotionSampler(seed, depth_range=(0.4, 0.6), view_angle=10.0).sample(times), times)
    camera = Camera.from_fov(640, 480, 62.0, calibrated=True)
    scene = HandScene(camera, seed=3)
    vertices, joints = pose_hands(motion, scene.asset)
    seen = clip_truth(motion, camera, joints)["joint_in_image"].all(-1)[:, RIGHT]
    folder = tmp_path / "data" / "train" / "ABC1"
    for name in ("rgb", "meta"):
        (folder / name).mkdir(parents=True)
    order = np.argsort(TO_21)
    for number, (image, _) in enumerate(render_frames(motion, scene, vertices)):
        cv2.imwrite(str(folder / "rgb" / f"{number:04d}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        stated = joints[number, RIGHT][order] * (1.0, -1.0, -1.0) if seen[number] else None
        (folder / "meta" / f"{number:04d}.pkl").write_bytes(pickle.dumps({"camMat": camera.matrix, "handJoints3D": stated}))
    (tmp_path / "data" / "train.txt").write_text("".join(f"ABC1/{number:04d}\n" for number in range(length)))
    code, text, _ = run(capsys, "--dataset", "HO3D", "--data", tmp_path / "data", "--split", "train", "--out", tmp_path / "out")
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    overall = results["overall"]
    assert code == 0 and overall["hands"] == seen.sum() >= 6 and overall["found"] >= 0.5 * overall["hands"]
    assert overall["mpjpe"] < 25.0 and overall["pa_mpjpe"] < 19.0 and overall["points"] < 12.0
    assert overall["wrist"] < 150.0  # without depth a hand's size is its distance
    assert "ABC1" in text and "overall" in text and overall["accel"] >= 0.0 and (tmp_path / "out" / "worst.png").exists()
    assert open_dataset("HO3D", tmp_path / "data", "train")[0].hands[LEFT] is None
