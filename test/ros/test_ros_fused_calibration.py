"""~/calibrate_hand of fused cameras: they measure how large the hands are, and no guess takes its place."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from fused_support import FRAME, fused  # noqa: F401 (the fixture)
from ros_support import REPOSITORY
from std_srvs.srv import Trigger

from fourdhands_core.errors import AssetError
from fourdhands_core.pipeline.shape_calibration import hand_length, load_shape, save_shape
from fourdhands_ros.node import services

sys.path.insert(0, str(REPOSITORY / "test"))
from fusion_support import HANDS, Scene


class Person:
    """Before fused cameras, with hands so many times as large as the usual ones."""

    def __init__(self, make, monkeypatch, size, **parameters):
        lengths = np.array([hand_length(HANDS, one) for one in np.vstack([np.zeros(10), np.eye(10)])])
        steps = lengths[1:] - lengths[0]
        self.scene = Scene()
        self.scene.betas = np.tile(steps / (steps @ steps) * (size - 1.0) * lengths[0], (2, 1))
        self.length = hand_length(HANDS, self.scene.betas[1])
        self.bench, self.moment = make(self.scene, **parameters), 0
        self.bench.trackers[0].hands = HANDS
        self.client = self.bench.user.create_client(Trigger, "hands/calibrate_hand")
        monkeypatch.setattr(services, "CALIBRATION_SECONDS", 1.0)
        monkeypatch.setattr(services, "time", SimpleNamespace(monotonic=lambda: len(self.bench.pairs["left"]) / 30.0))

    def show(self, count, **kwargs):
        """Both hands in so many images of each camera: the wrists' errors in what was published, metres."""
        before = len(self.bench.fused)
        self.bench.run(range(self.moment, self.moment + count * FRAME, FRAME), **kwargs)
        self.moment += count * FRAME
        assert self.bench.ros.spin_until(lambda: len(self.bench.fused) >= before + count - 2)
        return self.bench.errors(self.bench.fused[before:])

    def calibrate(self, **kwargs):
        """What the service says."""
        assert self.bench.ros.spin_until(self.client.service_is_ready)
        future = self.client.call_async(Trigger.Request())
        while not future.done():
            self.show(2, **kwargs)
        return future.result()


def test_the_size_that_several_cameras_see_is_kept(fused, monkeypatch, tmp_path):
    """Of a hand an eighth larger than usual the guess was: fused hands were not valid from then on."""
    person = Person(fused, monkeypatch, 1.125, hand_model="generic", hand_shape=str(tmp_path / "person.yaml"))
    person.show(4)
    answer = person.calibrate()
    assert answer.success and "hands that several cameras saw" in answer.message and "guess" not in answer.message
    kept = load_shape(tmp_path / "person.yaml", "generic", measured=True)
    assert hand_length(HANDS, kept) == pytest.approx(person.length, rel=0.02)
    errors = person.show(30)[4:]
    assert np.isfinite(errors).all() and errors.mean() < 0.004
    np.testing.assert_array_equal(person.bench.node.channels[1].tracker.betas, person.bench.node.fused.fusion.known)


def test_what_was_known_holds_where_one_camera_alone_sees_hands(fused, monkeypatch, tmp_path):
    person = Person(fused, monkeypatch, 1.1, hand_model="generic", hand_shape=str(tmp_path / "person.yaml"))
    person.show(20)
    person.show(8, cameras=["left"])  # until the other one's last image is too old
    learned = person.bench.node.fused.fusion.memory.shape
    answer = person.calibrate(cameras=["left"])
    assert not answer.success and "several cameras saw a hand together 0 times" in answer.message
    fusion = person.bench.node.fused.fusion
    assert fusion.memory.shape is learned and fusion.known is None and not (tmp_path / "person.yaml").exists()


def test_a_file_whose_size_is_a_guess_is_refused_where_cameras_measure_it(tmp_path):
    save_shape(tmp_path / "guess.yaml", np.zeros(10), "generic", measured=False)
    assert not load_shape(tmp_path / "guess.yaml", "generic").any()
    with pytest.raises(AssetError, match="is a guess, of one camera without hand_length"):
        load_shape(tmp_path / "guess.yaml", "generic", measured=True)
