"""Where cameras stand: a file, `file.py`, and how that is found from nothing but hands that they see.

`extrinsics.py` finds the cameras' poses, of the hands that `shared_hands.py` chooses; `posed_hands.py` how large all is;
`clocks.py` why it may have failed.
"""

from .file import Rig, load_rig, save_rig
