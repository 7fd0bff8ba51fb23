"""One of the others, in a process and an environment of its own, which need not have this package:

python retargeting_peer.py dexi_rs|dex_retargeting position|dexpilot URDF NAMES

NAMES are a line of JSON, {"tips": [...], "joints": [...]}. Each line of standard input, one after the other the places of the
tips in the model's frame [[[x, y, z], ...], ...], is answered by {"joints": [{name: position}, ...], "seconds": [...]}, the
processor time of each call. The first line that it writes is {"ready": true}, or {"problem": why it cannot}.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import numpy as np


def pairs_of(count: int) -> tuple[list[int], list[int]]:
    """Origins and ends of dexpilot's vectors, points counted from the wrist, 0: between each two tips, and from the wrist."""
    origins, ends = [], []
    for one in range(1, count):
        for other in range(one + 1, count + 1):
            origins.append(other)
            ends.append(one)
    return origins + [0] * count, ends + list(range(1, count + 1))


class Peer:
    """One of them in one mode. Raises ImportError where it is not installed, and what it raises of the robot."""

    def __init__(self, name: str, mode: str, urdf: str, tips: list[str], joints: list[str]) -> None:
        given: dict[str, Any] = {"low_pass_alpha": 1.0, "target_joint_names": joints}
        if mode == "position":
            given |= {"target_link_names": tips, "target_link_human_indices": list(range(len(tips)))}
        else:
            given |= {"finger_tip_link_names": tips, "wrist_link_name": "world"}
        self._name, self._pairs = name, pairs_of(len(tips)) if mode == "dexpilot" else None
        if name == "dexi_rs":
            import dexi_rs

            self.engine = dexi_rs.RetargetingConfig(mode, urdf, **given).build()
        else:
            from dex_retargeting.retargeting_config import RetargetingConfig

            self.engine = RetargetingConfig.from_dict({"type": mode, "urdf_path": urdf, **given}).build()
        self.joints = [str(name) for name in self.engine.joint_names]

    def solve(self, targets: np.ndarray) -> dict[str, float]:
        """Joints by their names, of targets (F, 3) of the tips in the model's frame."""
        wanted = targets
        if self._pairs is not None:
            points = np.concatenate([np.zeros((1, 3)), targets])
            wanted = points[self._pairs[1]] - points[self._pairs[0]]
        found = self.engine.retarget(wanted.ravel().tolist() if self._name == "dexi_rs" else wanted)
        return dict(zip(self.joints, np.asarray(found, np.float64).tolist()))


def main() -> int:
    """Until its standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer

    def answer(said: dict[str, Any]) -> None:
        print(json.dumps(said), file=answers, flush=True)

    name, mode, urdf, names = sys.argv[1:]
    try:
        peer = Peer(name, mode, urdf, **json.loads(names))
    except Exception as error:  # not installed, or not for this robot: which is part of what is measured
        answer({"problem": f"{type(error).__name__}: {error}"[:300]})
        return 1
    answer({"ready": True})
    for line in sys.stdin:
        joints, seconds = [], []
        for targets in np.array(json.loads(line), np.float64):
            begin = time.thread_time()
            found = peer.solve(targets)
            seconds.append(time.thread_time() - begin)
            joints.append(found)
        answer({"joints": joints, "seconds": seconds})
    return 0


if __name__ == "__main__":
    sys.exit(main())
