"""Synthetic motion, the error model and the training loop."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from fourdhands_core import cli
from fourdhands_core.errors import AssetError, CheckpointError, InputError
from fourdhands_core.geometry.rotations import axis_angle_from_matrix
from fourdhands_core.hand_model.assets import load_generic_hand, load_human_hand
from fourdhands_core.hand_model.layer import HandLayer
from fourdhands_core.hand_model.limits import LOWER, UPPER, joint_frames, to_angles
from fourdhands_core.hand_model.skeleton import LEFT, MANO_PARENTS, RIGHT
from fourdhands_core.learning.kinematics import Kinematics
from fourdhands_core.learning.landmark import train
from fourdhands_core.learning.landmark.detector_errors import ErrorSampler, LandmarkErrors, fit, true_configuration, unit_shape
from fourdhands_core.learning.landmark.measure_errors import clip_motions
from fourdhands_core.learning.landmark.measured_clips import Mixed, collect, exchanged, measured_clips, turned
from fourdhands_core.learning.landmark.motion import MotionSampler
from fourdhands_core.learning.landmark.samples import Synthesis
from fourdhands_core.learning.landmark.train import TrainSettings, place, train_landmark, window_frames
from fourdhands_core.media.clips import pose_hands
from fourdhands_core.network.checkpoint import load_weights, save_weights
from fourdhands_core.network.landmark_config import LandmarkConfig
from fourdhands_core.network.landmark_model import LandmarkNetwork


@pytest.fixture(scope="module")
def motion():
    times = torch.arange(20)[None].expand(64, 20) / 30.0
    return MotionSampler(5).sample(times), times


def test_poses_stay_inside_anatomical_limits(motion):
    angles = to_angles(motion[0].rotations[..., 1:, :, :].double().numpy(), joint_frames(load_human_hand()))
    assert (angles >= LOWER - 1e-4).all() and (angles <= UPPER + 1e-4).all()
    reach = np.ptp(angles[..., 0].reshape(-1, 15), axis=0)
    assert (reach > 0.6 * (UPPER - LOWER)[:, 0]).all()  # and they use most of the room


def test_motion_is_smooth_and_human(motion):
    sample, times = motion
    rotations = sample.rotations.double().numpy()
    step = np.swapaxes(rotations[:, :, :-1], -1, -2) @ rotations[:, :, 1:]
    speed = np.linalg.norm(axis_angle_from_matrix(step), axis=-1) * 30.0
    assert np.percentile(speed, 99) < 25.0  # radians a second
    velocity = np.diff(sample.root.numpy(), axis=2) * 30.0
    assert np.percentile(np.linalg.norm(velocity, axis=-1), 99) < 3.0  # metres a second
    change = np.linalg.norm(np.diff(velocity, axis=2), axis=-1)
    assert np.percentile(change, 99) < 0.8  # no jumps between frames
    assert (sample.root[..., 2] > 0.1).all()


def test_hands_are_alone_apart_and_together(motion):
    sample, _ = motion
    both = sample.present.all(1)
    assert 0.5 < both.float().mean() < 0.95 and sample.present.any(1).all()
    left = sample.root[:, 0] * torch.tensor([-1.0, 1.0, 1.0])
    gap = (left - sample.root[:, 1]).norm(dim=-1)[both]
    assert (gap.min(-1).values < 0.15).any() and (gap.max(-1).values > 0.5).any()


def test_a_seed_gives_the_same_motion_again():
    times = torch.arange(3)[None] / 30.0
    first, second, other = (MotionSampler(seed).sample(times) for seed in (1, 1, 2))
    assert torch.equal(first.rotations, second.rotations) and torch.equal(first.root, second.root)
    assert not torch.equal(first.root, other.root)


def test_upright_hands_point_up_with_their_palms_anywhere():
    def axes(share):
        rotations = MotionSampler(4, single_share=0.0, upright=share).sample(torch.zeros(600, 1)).rotations[:, :, 0, 0]
        joints = Kinematics(load_generic_hand())(torch.eye(3).repeat(1, 1, 16, 1, 1), torch.zeros(1, 1, 10))[0, 0]
        fingers = torch.nn.functional.normalize(rotations @ joints[9], dim=-1)  # from the wrist to the middle knuckle
        return fingers, rotations @ torch.tensor([0.0, 1.0, 0.0])

    fingers, palms = axes(1.0)
    assert (-fingers[..., 1]).mean() > 0.6 and (fingers[..., 1] < 0.0).float().mean() > 0.95
    assert palms.mean((0, 1)).norm() < 0.1
    assert axes(0.0)[0].mean((0, 1)).norm() < 0.1
    assert 0.2 < -axes(0.5)[0][..., 1].mean() < 0.55


def test_hands_that_face_the_camera_are_open_with_the_palm_or_the_back_to_it():
    sampler = MotionSampler(7, single_share=0.0, facing=1.0)
    rotations = sampler.sample(torch.zeros(300, 1)).rotations[:, :, 0].flatten(0, 1)
    joints = Kinematics(sampler.asset)(rotations, torch.zeros(len(rotations), 10))
    bends = torch.rad2deg(train.bends(joints)[:, 1:])
    assert bends.mean() < 25.0 and bends.max() < 70.0
    across = torch.linalg.cross(joints[:, 5], joints[:, 17], dim=-1)  # of the palm, by the knuckles of index and little finger
    facing = torch.nn.functional.normalize(across, dim=-1)[:, 2]
    assert facing.abs().median() > 0.8 and 0.15 < (facing < 0.0).float().mean() < 0.85


def test_hands_that_cross_change_sides_in_the_picture_one_before_the_other():
    times = torch.arange(120)[None].expand(20, -1) / 30.0
    motion = MotionSampler(6, depth_range=(0.5, 0.9), single_share=0.0, upright=1.0, crossing=True).sample(times)
    places = np.stack([motion_of.wrist for motion_of in clip_motions(motion, times)])
    assert motion.present.all()
    order = np.sign(places[:, :, LEFT, 0] - places[:, :, RIGHT, 0])
    assert (np.abs(np.diff(order, axis=1)).sum(1) >= 2.0).mean() > 0.9
    before = np.abs(places[..., 2].mean(1) @ [1.0, -1.0])
    assert np.median(before) > 0.05


def test_kinematics_agree_with_the_hand_layer():
    asset = load_generic_hand()
    sample = MotionSampler(2).sample(torch.zeros(8, 1))
    rotations, betas = sample.rotations[:, 1, 0], sample.betas[:, 1]
    _, joints = HandLayer(asset)(rotations[:, 0], rotations[:, 1:], betas)
    ours = Kinematics(asset)(rotations, betas)
    tips = [4, 8, 12, 16, 20]
    others = [j for j in range(21) if j not in tips]
    assert torch.allclose(ours[:, others], joints[:, others], atol=1e-5)
    assert (ours - joints)[:, tips].norm(dim=-1).max() < 0.004


def test_rendered_motion_is_the_motion_that_is_trained_on(motion):
    sample, times = motion
    clip = clip_motions(sample, times)[3]
    _, joints = pose_hands(clip)
    ours = Kinematics(load_human_hand())(sample.rotations[3], sample.betas[3, :, None].expand(-1, 20, -1))
    placed = (ours + sample.root[3, :, :, None]).double().numpy().transpose(1, 0, 2, 3)
    placed[:, 0] *= [-1.0, 1.0, 1.0]
    assert np.linalg.norm(placed - joints, axis=-1).max() < 0.004


def test_the_error_model_is_found_again_from_what_it_draws():
    generator = torch.Generator().manual_seed(0)
    rng = np.random.default_rng(0)
    truth = LandmarkErrors(
        np.concatenate([0.1 * rng.normal(size=(105, 63)), 0.05 * rng.normal(size=(105, 1))], 1),
        0.1 * np.eye(105),
        0.05 * np.eye(105),
        0.9,
        0.0,
        0.0,
        1.0,
        0.0,
    )
    times = torch.arange(40)[None].expand(60, 40) / 30.0
    sample = MotionSampler(3).sample(times)
    joints = Kinematics(load_generic_hand())(sample.rotations, sample.betas[:, :, None].expand(-1, -1, 40, -1))
    placed = (joints + sample.root[..., None, :])[:, 1:]
    placed = placed.expand(-1, 2, -1, -1, -1)
    rays, world, seen = ErrorSampler(truth, generator, (1.0, 1.0)).observe(placed, times)
    assert seen.all()
    turn, points, radius, shape = true_configuration(placed)
    direction = torch.nn.functional.pad(rays, (0, 1), value=1.0) @ turn.transpose(-1, -2)
    flat = (direction[..., :2] / direction[..., 2:] - points) / radius
    residual = torch.cat([flat.flatten(-2), (world - shape).flatten(-2)], -1)
    clips, frames = torch.meshgrid(torch.arange(120), torch.arange(40), indexing="ij")
    found = fit(
        shape.reshape(-1, 63).numpy(),
        residual.reshape(-1, 105).numpy(),
        clips.flatten().numpy(),
        frames.flatten().numpy(),
        ridge=1e-3,
        lost=0.0,
        found=1.0,
        swapped=0.0,
    )
    assert found.slow_memory == pytest.approx(0.9, abs=0.03)
    assert np.sqrt((found.slow**2).sum(1)).mean() == pytest.approx(0.1, rel=0.15)
    assert np.sqrt((found.fast**2).sum(1)).mean() == pytest.approx(0.05, rel=0.15)
    predicted = shape.reshape(-1, 63).numpy() @ (found.mean[:, :-1] - truth.mean[:, :-1]).T
    assert np.abs(predicted + found.mean[:, -1] - truth.mean[:, -1]).mean() < 0.03


def test_unit_shape_has_unit_size_and_no_offset():
    shape = unit_shape(torch.randn(4, 21, 3) * 7 + 3)
    assert torch.allclose(shape.mean(-2), torch.zeros(4, 3), atol=1e-5)
    assert torch.allclose(shape.square().sum(-1).mean(-1), torch.ones(4), atol=1e-5)


def test_measured_errors_load_and_a_missing_file_says_what_to_do(tmp_path):
    errors = LandmarkErrors.load()
    assert errors.mean.shape == (105, 64) and 0.0 < errors.slow_memory < 1.0
    with pytest.raises(AssetError, match="measure"):
        LandmarkErrors.load(tmp_path / "none.npz")


def test_placing_in_training_is_exact_on_exact_points():
    joints = torch.randn(5, 21, 3) * 0.05
    root = torch.tensor([0.05, -0.02, 0.6])
    placed = joints + root
    assert torch.allclose(place(joints, placed[..., :2] / placed[..., 2:]), root.expand(5, 3), atol=1e-3)


def test_window_keeps_its_spacing_in_time_and_repeats_at_its_ends():
    config = LandmarkConfig()
    stamps = torch.arange(30)[None] / 60.0  # a camera at twice the window's rate
    index = window_frames(stamps, torch.tensor([20 / 60.0]), config)
    assert index.tolist() == [[12, 14, 16, 18, 20, 22, 24, 26, 28]]
    newest = window_frames(stamps[:, :21], torch.tensor([20 / 60.0]), config)
    assert newest.tolist() == [[12, 14, 16, 18, 20, 20, 20, 20, 20]]
    assert window_frames(stamps[:, :1], torch.tensor([0.0]), config).tolist() == [[0] * 9]


def test_truth_of_a_batch_is_consistent():
    data = Synthesis(4, LandmarkErrors.load(), LandmarkConfig(), 0.0)
    ((tokens, sample),) = data.draw(32, 1)[0]
    joints = data.kinematics[sample.family[0]](sample.rotations, sample.betas)
    assert torch.allclose(joints, sample.joints, atol=1e-5)
    both = tokens.present.all(1)
    from_left = -(sample.left_to_right @ sample.other_root[:, 0, :, None])[..., 0]
    assert torch.allclose(from_left[both], sample.other_root[both, 1], atol=1e-4)


def test_training_learns_writes_weights_and_repeats_from_its_seed(tmp_path):
    torch.set_num_threads(1)
    settings = TrainSettings(
        single_steps=12, window_steps=2, single_batch=64, window_batch=4, vertex_samples=4, measured_clips=2, measured_steps=2
    )
    config = LandmarkConfig(width=32, relation_width=8, heads=2)
    for name in ("a", "b"):
        figures = train_landmark(tmp_path / f"{name}.safetensors", settings, config)
        assert np.isfinite(figures["mpjpe_mm"])
    first, second = (load_weights(tmp_path / f"{name}.safetensors").state_dict() for name in "ab")
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_nothing_that_learns_is_left_on_the_cpu(monkeypatch):
    """What runs on the device meta, which computes nothing and refuses the CPU's numbers, would run on a GPU."""
    monkeypatch.setattr(train, "check_device", lambda device: None)
    monkeypatch.setattr(train.Trainer, "_halved", lambda self, network: contextlib.nullcontext())  # it has none of that kind
    some = {"single_batch": 4, "window_batch": 2, "vertex_samples": 2, "vertex_interval": 1, "alone": 0.5}
    settings = TrainSettings(device="meta", **some, bend=1.0, contact=1.0, acceleration=1.0)
    one = train.Trainer(settings, LandmarkConfig(width=32, relation_width=8, heads=2), LandmarkErrors.load())
    for layer in one.objective.layers:
        layer.mano.parents = torch.as_tensor(MANO_PARENTS)  # of which smplx takes single numbers
    for loss in (one.single_loss, one.window_loss, one.window_loss):
        loss().backward()
    assert {weight.grad.device.type for weight in one.network.parameters() if weight.grad is not None} == {"meta"}


def test_training_on_a_device_that_is_not_there_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for device, words in (("cuda", "torch sees no CUDA device here"), ("gpu", "on device cpu or cuda, not gpu")):
        out = tmp_path / "out.safetensors"
        assert cli.main(["train", "landmark", "--out", str(out), "--set", f"device={device}"]) == 2
        assert words in capsys.readouterr().err and not out.exists()


def test_training_goes_on_from_weights_and_keeps_its_rendered_clips(tmp_path, monkeypatch):
    monkeypatch.setattr("fourdhands_core.learning.landmark.measured_clips.PART", 1)  # one of each family
    torch.set_num_threads(1)
    start = tmp_path / "start.safetensors"
    save_weights(LandmarkNetwork(LandmarkConfig(width=32, relation_width=8, heads=2)), start)
    settings = TrainSettings(
        start=str(start),
        single_steps=0,
        window_steps=0,
        window_batch=4,
        vertex_samples=4,
        measured_clips=2,
        measured_steps=2,
        measured_rate=1e-6,
        measured_share=1.0,
        average=0.0,
        alone=0.5,
        measured_folder=str(tmp_path / "clips"),
        bend=1.0,
        contact=1.0,
        acceleration=1.0,
    )
    for name in ("a", "b"):  # the second run reads the clips that the first has rendered
        train_landmark(tmp_path / f"{name}.safetensors", settings)
    first, second, before = (load_weights(tmp_path / f"{name}.safetensors").state_dict() for name in ("a", "b", "start"))
    assert all(torch.equal(first[key], second[key]) for key in first)
    moved = torch.cat([(first[key] - before[key]).flatten() for key in first]).abs().max()
    assert 0.0 < moved < 1e-5
    train_landmark(tmp_path / "part.safetensors", replace(settings, share=0.25))
    for key, value in load_weights(tmp_path / "part.safetensors").state_dict().items():
        torch.testing.assert_close(value, before[key] + 0.25 * (first[key] - before[key]), rtol=0, atol=1e-8)
    with pytest.raises(InputError, match="other rendered clips"):
        measured_clips(settings.measured_folder, 2, settings.clip_frames + 1, settings.measured_seed)
    kept = tmp_path / "clips" / f"{settings.measured_seed}.safetensors"
    with safe_open(kept, "pt") as file:
        tensors, about = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()
    without = {name: values for name, values in tensors.items() if name != "rays"}
    for damaged in (without, without | {"rays": tensors["rays"] * torch.nan}):
        save_file(damaged, kept, about)
        with pytest.raises(InputError, match="is damaged"):
            measured_clips(settings.measured_folder, 2, settings.clip_frames, settings.measured_seed)
    (tmp_path / "clips" / "5.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="no rendered clips"):
        measured_clips(settings.measured_folder, 2, settings.clip_frames, 5)


def test_weights_of_a_training_that_diverged_are_not_written(tmp_path):
    settings = TrainSettings(single_steps=6, single_batch=8, single_rate=1e12, window_steps=0, measured_steps=0, average=0.0)
    with pytest.raises(CheckpointError, match="are not finite, and are not written; train"):
        train_landmark(tmp_path / "w.safetensors", settings, LandmarkConfig(width=32, relation_width=8, heads=2))
    assert not any(tmp_path.iterdir())


def test_errors_of_too_few_clips_are_not_written(tmp_path, capsys):
    for options, words in ((["--clips", "1"], "too few hands were seen in 1 clips"), (["--seed", "-3"], "-3 is not from 0")):
        with contextlib.suppress(SystemExit):
            assert cli.main(["train", "errors", *options, "--out", str(tmp_path / "errors.npz")]) == cli.EXIT_USER_ERROR
        assert words in capsys.readouterr().err and not any(tmp_path.iterdir())
    with pytest.raises(SystemExit):
        cli.main(["data", "synthesise", str(tmp_path / "out"), "--seed", str(10**23)])
    assert "is not from 0 to 2**40" in capsys.readouterr().err and not any(tmp_path.iterdir())


@pytest.fixture(scope="module")
def measured():
    return collect(6, 8, seed=5, family=1)


def test_measured_clips_are_what_the_detector_saw_of_the_true_hands(measured):
    assert measured.seen.float().mean() > 0.2 and not measured.seen[~measured.present].any()
    joints = Kinematics(load_generic_hand())(measured.rotations, measured.betas[:, :, None].expand(-1, -1, 8, -1))
    placed = joints + measured.root[..., None, :]
    off = (placed[..., :2] / placed[..., 2:] - measured.rays).norm(dim=-1).mean(-1)[measured.seen]
    assert 0 < off.mean() < 0.03  # a few pixels of 640


def test_more_measured_clips_begin_with_the_same_ones(monkeypatch):
    monkeypatch.setattr("fourdhands_core.learning.landmark.measured_clips.PART", 1)
    three = measured_clips("", 3, 2, 8)
    each = [collect(1, 2, 8, family=0), collect(1, 2, 9, family=1), collect(1, 2, 10, family=0, kind=1)]
    for name, values in vars(three).items():
        assert torch.equal(values, torch.cat([getattr(one, name) for one in each])), name
    assert three.family.tolist() == [0, 1, 0]


def test_turned_and_exchanged_clips_fit_their_truth_as_well(measured):
    """The camera turned about its axis, and the scene in a mirror: landmarks stay as near to the hands as they were."""
    kinematics = Kinematics(load_generic_hand())

    def off(clips):
        joints = kinematics(clips.rotations, clips.betas[:, :, None].expand(-1, -1, 8, -1))
        placed = joints + clips.root[..., None, :]
        away = (placed[..., :2] / placed[..., 2:] - clips.rays).norm(dim=-1).mean(-1)
        return away[clips.seen].sort().values

    def apart(clips):  # of both hands, in the camera's frame
        left = clips.root[:, 0] * torch.tensor([-1.0, 1.0, 1.0])
        return (left - clips.root[:, 1]).norm(dim=-1)

    for changed in (turned(measured, torch.linspace(-3.0, 3.0, 6)), exchanged(measured, torch.ones(6, dtype=torch.bool))):
        torch.testing.assert_close(off(changed), off(measured), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(apart(changed), apart(measured), atol=1e-5, rtol=1e-4)


def test_batches_are_drawn_from_measured_clips(measured):
    data = Mixed(Synthesis(4, LandmarkErrors.load(), LandmarkConfig(), 0.0, hurried=0.5), measured, share=0.5)
    shapes = set()
    for _ in range(6):
        frames, times = data.draw(4, 6)
        assert len(frames) == 6 and times.shape == (4, 6) and torch.isfinite(frames[0][0].features).all()
        shapes.add(tuple(frames[0][1].betas.flatten()[:3].tolist()))
    assert len(shapes) > 1
