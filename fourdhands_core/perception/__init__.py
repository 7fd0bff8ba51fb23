"""Seeing hands: detectors, and which hand is which over time.

Another detector is a `perception/detector.py`: `Detector`; HandPairTracker takes it as `detectors`, makes its own by
`make_detector` or `detector_beside_torch`, to which it passes settings one by one and whose return types name the class, and
keeps the memory of a HandDetector alone in `HandPairTracker.memory`. Chosen by a setting, as `search` is
(`pipeline/settings.py`, and `commands/__init__.py` for the commands), it is chosen in `learning/evaluation/predictors.py` too;
training makes its own in `learning/landmark/measure_errors.py`, `learning/landmark/measured_clips.py` and
`learning/detector/crop_files.py`. The shipped one's networks are `tools/hand_networks.py`'s, its landmark network is
trained on by `learning/detector/tune.py` with the pictures of `learning/detector/crops.py`, in 8 bits it is that of
`tools/hand_int8.py`; licences are in README.md.

What was measured of this one, and is to be measured anew of another, as no test asks for it; one beside it takes such values
with it, as `HandPairTracker.landmarks` are taken, where there is one of each now:

where it sees joints: `hand_model/landmarks.py`, by `tools/landmark_places.py`; refinement, placement, calibration and fusion
take it as `HandPairTracker.landmarks`;
how far landmarks are off: `landmark_error` of `pipeline/settings.py`, `SPREAD` of `pipeline/refinement.py`;
by `fourdhands train errors`, for training: `learning/landmark/detector_errors.py`;
how long errors last and how large they are: `ComplementaryFilter` of `pipeline/smoothing.py`, `_LANDMARK_ERROR` of
`pipeline/shape_calibration.py`, `_BLOCK` of `fusion/rig/shared_hands.py`, `_ERROR` of `fusion/rig/extrinsics.py`;
what is undone of bends: `retargeting/operator_range.py`.
"""
