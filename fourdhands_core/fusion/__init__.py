"""One estimate of both hands from the images of several cameras that stand at known places.

`fusion/fusion.py` is the way of an estimate; `fusion/settings.py` its settings, such as how old
a view may be (`oldest`); `fusion/matching.py` which hand in which view is which; `fusion/solution.py` the
pose that all views agree on; `fusion/schedule.py` when; `fusion/consistency.py` clocks, and cameras that were moved;
`fusion/bumps.py` those that were just turned; `fusion/trust.py` whether it is one person's hand at all;
`fusion/deviations.py` what is remembered of one camera's errors; `fusion/flows.py` how its images show hands moving;
`fusion/times.py` whose stamps are of another time; `fusion/placed.py` what depth images are worth. Which view is left out of
a hand is `HandFusion._worst`'s to say, above `FusionSettings.together`, metres at the hand; before it `fusion/matching.py`
leaves out what is no hand of this person. That is no parameter: the node's `FusedChannel` gives settings, `BagFusion` of
`fourdhands_ros/bags/fusing.py` too, `media/track_cameras.py` takes the defaults. Why one is left out is told in the words of
`fusion/matching.py`, by `Consistency.problems`, and in `docs/cameras.md`. Measured by `benchmarks/fusion.py`.

Calibration: `fusion/extrinsics.py` where cameras stand, of the hands that `fusion/shared_hands.py` chooses;
`fusion/posed_hands.py` how large all is; `fusion/rig.py` the file.
"""
