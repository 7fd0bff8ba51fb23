"""A node that fuses cameras of a scene, over DDS: what tests of it begin with."""

import sys
import threading

import numpy as np
import pytest
from ros_support import PATIENT, RELIABLE, REPOSITORY, FakeTracker, image_message, stamp_of
from test_ros_cameras import Cameras

from fourdhands_core.fusion.rig import Rig, save_rig
from fourdhands_core.hand_model.landmarks import landmarks_of_both
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT
from fourdhands_ros.node import fusing
from fourdhands_ros.pypi.message_types import HandPair, create_subscription

sys.path.insert(0, str(REPOSITORY / "test"))
from fusion_support import ASSETS, STEP

NAMES = ["left", "right"]
FRAME = STEP // 30
LATER = 3


class SceneTracker(FakeTracker):
    """Sees what camera `number` of a scene sees at the moment that an image's stamp says; red above 127 shows hands.

    clock: nanoseconds by which its images' stamps are late. elsewhere: metres by which what it sees is another person's.
    """

    def __init__(self, scene, number=0, clock=0):
        super().__init__()
        self.scene, self.number, self.clock, self.betas = scene, number, clock, None
        self.assets, self.landmarks = ASSETS, landmarks_of_both(ASSETS)
        self.elsewhere, self._lock = None, threading.Lock()

    def for_another_camera(self):
        self.others.append(SceneTracker(self.scene, self.number + len(self.others) + 1))
        return self.others[-1]

    def estimate(self, frame, with_vertices=False):
        if frame.first:
            self.reset()
        moment = round((frame.stamp - self.clock - 1) * 1e-9 * STEP)
        sides = (LEFT, RIGHT) if frame.found[0] > 127 else ()
        with self._lock:
            return self.scene.view(self.number, moment, sides, stamp=frame.stamp, elsewhere=self.elsewhere).estimate


class Fused(Cameras):
    """Cameras whose hands are those of a scene, and what comes of all together. poses: how the cameras' places are told."""

    def __init__(self, scene, parameters):
        tracker = SceneTracker(scene)
        super().__init__(NAMES, {"fusion": True, **parameters}, tracker)
        self.scene, self.fused, self.trackers = scene, [], [tracker, *tracker.others]
        create_subscription(self.user, HandPair, "hands", self.fused.append, RELIABLE)
        for channel in self.node.channels:
            channel.cameras.update(calibrated())
        self.ros.join(self.user, self.node.fused.outputs.hands)

    def send(self, camera, moment, pixel=(255, 255, 0), frame_id=None):
        """Publish an image of a camera and wait until the node has dealt with it."""
        number = NAMES.index(camera)
        stamp = self.scene.stamp(moment) + self.trackers[number].clock
        before, statistics = len(self.pairs[camera]), self.of(camera).statistics
        rejected = statistics.rejected
        self.images[camera].publish(image_message(stamp, pixel, frame_id=frame_id or f"{camera}_optical"))
        assert self.ros.spin_until(lambda: len(self.pairs[camera]) > before or statistics.rejected > rejected)

    def run(self, moments, cameras=NAMES, **kwargs):
        for moment in moments:
            for number, camera in enumerate(NAMES):
                if camera in cameras:
                    self.send(camera, moment + LATER * number, **kwargs)

    def diagnosis(self):
        return self.status()["hands: fused hands"]

    def errors(self, pairs):
        """Metres by which the wrists of HandPairs are off, NaN where not valid."""
        result = []
        for pair in pairs:
            truth = self.scene.truth(round((stamp_of(pair.header) - 1) * 1e-9 * STEP))[:, 0]
            for hand in (pair.left, pair.right):
                p = hand.wrist.position
                result.append(np.linalg.norm(truth[hand.side] - (p.x, p.y, p.z)) if hand.valid else np.nan)
        return np.array(result)


def calibrated():
    from ros_support import info_message

    from fourdhands_ros.convert.camera_info import calibration_from_info

    return calibration_from_info(info_message())


@pytest.fixture
def fused(tmp_path, monkeypatch):
    monkeypatch.setattr(fusing, "_RECENT", PATIENT)  # a busy computer is no silent camera
    made = []

    def make(scene, poses="file", **parameters):
        if poses == "file":
            save_rig(tmp_path / "rig.yaml", Rig("cell", dict(zip(NAMES, scene.poses))))
            parameters["camera_poses"] = str(tmp_path / "rig.yaml")
        else:
            parameters["fixed_frame"] = "cell"
        made.append(Fused(scene, parameters))
        return made[-1]

    yield make
    for one in made:
        one.close()
