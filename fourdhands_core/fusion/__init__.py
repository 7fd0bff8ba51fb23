"""One estimate of both hands from the images of several cameras that stand at known places.

The way of a camera's estimate, a `View` (`views.py`), through `HandFusion.add` (`fusion.py`):

1. `times.py`: whether its stamp is of the others' time; `schedule.py`: whether to fuse now or wait for a camera.
2. `matching.py`: which hand in which view is which, by where `track.py`, the memory of a hand, expects it; what is no hand of
   this person is left out.
3. `hand.py`, `SideFusion._agreed`: `solution.py` finds the pose and the place that all views agree on, each moved to one
   moment as its own images show the hand moving (`flows.py`), with what is known of depth images (`placed.py`), of a camera's
   errors (`deviations.py`) and of the hand's shape (`shape.py`). A view that does not fit (`_worst`, above `_TOGETHER`, metres
   at the hand) is left out, and the others are solved again.
4. `SideFusion._judged`, what the views' differences tell: `consistency.py` of clocks, and of cameras that were moved;
   `bumps.py` of those that were just turned; `trust.py` whether it is one person's hand at all.
5. `SideFusion._estimate`: no jump where other views show the hand than before (`FusedTrack.join`), filtered, within limits.
6. `HandFusion._fuse`: both hands; none where cameras contradict each other. What is remembered of all is in `memory.py`.

Where trackers look ahead, `ordering.py` brings their estimates into the order of their stamps before. What can be set are the
tracker's `hold` and `smoothing`: the node's `FusedChannel` and `BagFusion` of `fourdhands_ros/bags/fusing.py` do,
`media/track_cameras.py` takes the defaults; all other limits stand at the top of their files. Why a view is left out is told
in the words of `matching.py` and `times.py`, by `Consistency.problems`, and in `docs/cameras.md`. Measured by
`benchmarks/fusion.py`.

Where cameras stand is said and found in `rig/`.
"""
