"""2-D errors on annotated photos: of the joints, and of where the detector would see them, as people mark them."""

import json

import cv2
import numpy as np
import pytest
from pipeline_support import CAMERA, landmarks_beside, shown

from fourdhands_core.errors import InputError
from fourdhands_core.hand_model.assets import load_human_hand, pair_of
from fourdhands_core.hand_model.skeleton import RIGHT
from fourdhands_core.learning.evaluation import clips
from fourdhands_core.learning.evaluation.clips import photo_errors, seen_at
from fourdhands_core.media.clips import HandScene, pose_hands, render_frames
from fourdhands_core.pipeline.tracker import HandPairTracker, TrackerSettings


def annotated(folder, image, marks):
    """One photo, and in COCO's style where a person marks the joints of its hand."""
    cv2.imwrite(str(folder / "hand.png"), image[:, :, ::-1])
    keypoints = np.concatenate([marks, np.full((21, 1), 2.0)], axis=1).ravel().tolist()
    data = {"images": [{"id": 7, "file_name": "hand.png"}], "annotations": [{"image_id": 7, "keypoints": keypoints}]}
    (folder / "test.json").write_text(json.dumps(data))


def test_marks_where_the_detector_sees_joints_are_near_the_fitted_landmarks(tmp_path):
    motion, truth = shown(np.zeros(10), count=1)
    vertices, _ = pose_hands(motion)
    ((image, _),) = render_frames(motion, HandScene(CAMERA, seed=3), vertices)
    marks = (truth["joints_2d"] + landmarks_beside(truth, CAMERA, pair_of(load_human_hand())))[0, RIGHT]
    annotated(tmp_path, image, marks)
    found = photo_errors(tmp_path)
    assert found["photos"] == 1 and found["not_found"] == 0
    assert found["landmarks_percent"] < 0.7 * found["ours_percent"]
    assert found["landmarks_ratio"] == pytest.approx(found["landmarks_percent"] / found["detector_percent"], abs=0.01)

    tracker = HandPairTracker(TrackerSettings(temporal=False))
    estimate = tracker.process(image, 1, CAMERA)
    size = np.ptp(marks, axis=0).max()
    pixels = seen_at(tracker, estimate.right, estimate.camera)
    assert np.linalg.norm(pixels - tracker.detections[RIGHT].landmarks, axis=-1).mean() < 0.04 * size
    tips = np.linalg.norm(estimate.right.joints_2d - marks, axis=-1)[[8, 12, 16, 20]]
    assert (np.linalg.norm(pixels - marks, axis=-1)[[8, 12, 16, 20]].mean()) < tips.mean()
    tracker.close()


def test_a_folder_without_annotations_is_told(tmp_path):
    with pytest.raises(InputError, match="holds no annotation file"):
        photo_errors(tmp_path)


@pytest.mark.parametrize(
    "text, words",
    [
        (None, r"holds neither video/\*.mp4 nor freihand/ or onehand10k/"),
        ("{}", "test.json is no annotation file in COCO style with 21 joints a hand .KeyError: 'images'"),
        ("[", "test.json is no annotation file in COCO style"),
        ('{"images": [{"id": 7, "file_name": "a.png"}], "annotations": [{"image_id": 7, "keypoints": [1, 2]}]}', "reshape"),
    ],
)
def test_real_images_that_cannot_be_used_are_told_before_clips_are_rendered(tmp_path, monkeypatch, text, words):
    """After the minutes that these take, and with tracebacks; a folder with nothing to measure without a word."""
    monkeypatch.setattr(clips, "unseen_clips", None)
    if text is not None:
        (tmp_path / "freihand").mkdir()
        (tmp_path / "freihand" / "test.json").write_text(text)
    with pytest.raises(InputError, match=words):
        clips.evaluate(clips=1, real=tmp_path)
