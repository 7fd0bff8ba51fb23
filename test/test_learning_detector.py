"""The detector's landmark network trained on: the graph in torch, the crops, and a run that is ended and goes on."""

from dataclasses import replace

import cv2
import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("numba")

from fourdhands_core.cli import main
from fourdhands_core.errors import InputError
from fourdhands_core.hand_model.assets import SHIPPED_HANDS
from fourdhands_core.learning.detector import crops as crops_module
from fourdhands_core.learning.detector.crop_files import Crops, RealCrops, rendered_crops
from fourdhands_core.learning.detector.crops import in_square, landmarks
from fourdhands_core.learning.detector.graph import Graph
from fourdhands_core.learning.detector.tune import OUTPUTS, Tuner, TuneSettings, _same, places
from fourdhands_core.perception.hand_networks import ASSETS, HAND_SIZE, HandNetworks
from fourdhands_core.perception.squares import Square

SHIPPED = ASSETS / "hand_landmarks.onnx"
FIXED = "t157"
"""The last value of the shipped network that training from is quick."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("crops")


@pytest.fixture(scope="module")
def crops(folder):
    return rendered_crops(folder, 2, 0, clips=2)


def settings(**values):
    return TuneSettings(**{"fixed": FIXED, "steps": 6, "batch": 6, "every": 3, "rate": 1e-3, "average": 0.5} | values)


@torch.no_grad()
def test_the_graph_in_torch_says_what_the_file_says_and_is_written_as_it_was(crops):
    graph, session = Graph.read(SHIPPED), onnxruntime.InferenceSession(SHIPPED, providers=["CPUExecutionProvider"])
    images = crops.images(range(3))
    said = graph({"image": images}, OUTPUTS)
    for name, values in zip(OUTPUTS, session.run(list(OUTPUTS), {"image": images.numpy()})):
        np.testing.assert_allclose(said[name].detach(), values, atol=1e-3, err_msg=name)
    between = graph({"image": images}, [FIXED])
    np.testing.assert_allclose(graph(between, OUTPUTS)["landmarks"].detach(), said["landmarks"].detach(), atol=1e-4)
    assert graph.written() == SHIPPED.read_bytes()


def test_what_stands_for_an_operation_does_not_learn():
    graph = Graph.read(SHIPPED)
    learning = graph.learn({"image"}, OUTPUTS)
    assert 2.6e6 < sum(weight.numel() for weight in learning) < 2.8e6
    assert {weight.numel() for weight in graph.weights.values() if not weight.requires_grad} == {1}


def test_points_go_to_the_crop_and_back():
    rng = np.random.default_rng(0)
    square, points = Square(310.0, 200.0, 150.0, 0.7), rng.uniform(0, 1, (21, 2))
    np.testing.assert_allclose(in_square(square.to_image(points), square), points * HAND_SIZE)


def test_wanted_landmarks_lie_beside_the_joints_of_either_side_alike():
    synthesis = crops_module._synthesis(0)
    (clip,) = synthesis.draw(5, 1, np.arange(2) / 2.0)
    wanted = landmarks(clip, 0)
    size = np.ptp(clip.points, axis=2).max(-1)
    off = np.linalg.norm(wanted - clip.points, axis=-1).mean(-1) / size
    assert (off > 0.005).all() and (off < 0.1).all()
    shared = replace(clip, rotations=clip.rotations[:, ::-1], betas=clip.betas[::-1], root=clip.root[:, ::-1])
    shared = replace(shared, joints=clip.joints[:, ::-1], points=clip.points[:, ::-1])
    middle = clip.camera.matrix[0, 2]
    mirrored = landmarks(shared, 0)[:, ::-1]
    np.testing.assert_allclose(mirrored[..., 0], 2 * middle - wanted[..., 0], atol=1e-6)
    np.testing.assert_allclose(mirrored[..., 1], wanted[..., 1], atol=1e-6)


@torch.no_grad()
def test_the_shipped_network_sees_rendered_hands_about_where_it_should(crops):
    some = range(0, len(crops), 4)
    said = Graph.read(SHIPPED)({"image": crops.images(some)}, OUTPUTS)
    off = (places(said["landmarks"]) - crops.points[some]).norm(dim=-1).mean(1)[said["presence"][:, 0] > 0.5]
    assert len(off) > 5 and off.median() < 25.0


def test_crops_are_kept_and_others_refused(folder, crops):
    again = rendered_crops(folder, 2, 0, clips=2)
    assert [a.tobytes() for a in again.pictures] == [b.tobytes() for b in crops.pictures]
    with pytest.raises(InputError, match="holds other crops"):
        rendered_crops(folder, 1, 0, clips=3)
    (folder / "7.npz").write_bytes(b"nothing")
    with pytest.raises(InputError, match="holds no crops"):
        rendered_crops(folder, 1, 7, clips=2)


def test_real_hands_are_found_in_a_photo_in_four_turns(tmp_path, crops):
    photo = np.full((480, 640, 3), 90, np.uint8)
    with torch.no_grad():
        said = Graph.read(SHIPPED)({"image": crops.images(range(12))}, ["presence"])["presence"]
    best = crops.images([int(said.argmax())])[0].permute(1, 2, 0).numpy()
    photo[100:324, 200:424] = (255 * best).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "photo.png"), photo[..., ::-1])
    real = RealCrops(HandNetworks(), 1).of([tmp_path / "photo.png"])
    assert len(real) > 0 and real.images(range(len(real))).shape[1:] == (3, HAND_SIZE, HAND_SIZE)
    assert (real.points[real.hand] > -HAND_SIZE).all() and not real.points[~real.hand].any()


def test_a_run_learns_holds_the_rest_and_goes_on_where_it_was_ended(tmp_path, crops):
    crops = Crops(crops.pictures[:12], crops.points[:12], crops.hand[:12])
    real = Crops(crops.pictures[:2], crops.points[:2], torch.zeros(2, dtype=torch.bool))
    held = {"rendered": crops, "real": Crops.of([])}
    whole, shipped = Tuner(settings(workers=2, halved=True)), Graph.read(SHIPPED).weights
    (_, last) = whole.run(crops, real, held)
    assert last["rendered_pixels"] < last["rendered_pixels_before"] and "real_pixels" not in last

    class Ended(Exception):
        pass

    ended = Tuner(settings(halved=True), tmp_path / "ended.onnx")
    kept = ended._keep

    def keep():
        kept()
        raise Ended

    ended._keep = keep
    with pytest.raises(Ended):
        ended.run(crops, real, held)
    assert (tmp_path / "ended.onnx").stat().st_size == SHIPPED.stat().st_size
    resumed = Tuner(settings(halved=True), tmp_path / "ended.onnx")
    resumed.run(crops, real, held)
    for a, b in zip(whole.average, resumed.average):
        torch.testing.assert_close(a, b)
    whole.write(tmp_path / "tuned.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "tuned.onnx", providers=["CPUExecutionProvider"])
    with whole.averaged():
        said = whole.network({"image": crops.images([0])}, ["landmarks"])["landmarks"]
    (landmark,) = session.run(["landmarks"], {"image": crops.images([0]).numpy()})
    np.testing.assert_allclose(landmark, said.detach(), atol=0.5)  # written in 16 bits
    whole.settings = replace(whole.settings, share=0.0)
    whole.write(tmp_path / "none_of_the_way.onnx")
    for name, weight in Graph.read(tmp_path / "none_of_the_way.onnx").weights.items():
        assert torch.equal(weight, shipped[name]), name
    with pytest.raises(InputError, match="other settings"):
        Tuner(settings(rate=1.0, halved=True), tmp_path / "ended.onnx").run(crops, real, held)


def test_a_run_does_not_go_on_from_another_network_nor_from_what_is_no_state(tmp_path):
    start, out = tmp_path / "start.onnx", tmp_path / "tuned.onnx"
    start.write_bytes(SHIPPED.read_bytes())
    begun = Tuner(settings(start=str(start)), out)
    begun.step = 2
    begun._keep()
    moved = start.rename(tmp_path / "moved.onnx")
    resumed = Tuner(settings(start=str(moved)), out)
    resumed._resume()
    assert resumed.step == 3
    with torch.no_grad():
        begun.learning[0].add_(1.0)
        begun.settings = replace(begun.settings, share=1.0)
        begun.average[0].add_(1.0)
    begun.settings = replace(begun.settings, start=str(moved))
    begun.write(moved)
    with pytest.raises(InputError, match="another network"):
        Tuner(settings(start=str(moved)), out)._resume()
    whole = torch.load(begun.state, weights_only=True)
    for state in (b"", [1], {"step": 3}, {"settings": _same(resumed.settings)}, whole | {"weights": []}):
        if isinstance(state, bytes):
            begun.state.write_bytes(state)
        else:
            torch.save(state, begun.state)
        with pytest.raises(InputError, match="remove it"):
            resumed._resume()


def test_the_command_writes_a_network_and_says_what_is_wrong(tmp_path, capsys):
    small = ["parts=1", "held_parts=1", "clips=1", "steps=2", "batch=2", f"fixed={FIXED}", f"folder={tmp_path / 'crops'}"]
    arguments = [word for value in small for word in ("--set", value)]
    out = ["--out", str(tmp_path / "tuned.onnx")]
    assert main(["train", "detector", *out, *arguments]) == 0
    assert '"rendered_pixels_before"' in capsys.readouterr().out
    onnxruntime.InferenceSession(tmp_path / "tuned.onnx", providers=["CPUExecutionProvider"])
    (tmp_path / "empty.onnx").touch()
    for given, said in (
        ([], "needs --out"),
        ([*out, "--clips", "3"], "--clips"),
        ([*out, "--set", "fixed=t9"], "no value of the network"),
        ([*out, "--set", "fixed=t140"], "what comes after t140 is made of other values too"),
        ([*out, "--set", "device=gpu"], "cpu or cuda"),
        ([*out, "--set", f"real={tmp_path / 'no.mp4'}"], "is not there"),
        ([*out, "--set", f"start={SHIPPED_HANDS['human']}"], "human_hand.npz is a numpy archive"),
        ([*out, "--set", f"start={tmp_path / 'empty.onnx'}"], "empty.onnx is no network that is given an image"),
        ([*out, "--set", f"start={tmp_path / 'crops'}"], "is a folder"),
        ([*out, "--set", f"start={tmp_path / 'tuned.onnx'}", "--set", "real="], "would be written over"),
    ):
        assert main(["train", "detector", *arguments, *given]) != 0
        assert said in capsys.readouterr().err
    if not torch.cuda.is_available():
        assert main(["train", "detector", *arguments, *out, "--set", "device=cuda"]) != 0
        assert "torch sees no CUDA device" in capsys.readouterr().err
