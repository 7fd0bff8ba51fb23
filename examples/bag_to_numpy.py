"""Reads the HandPairs of a bag into numpy: python examples/bag_to_numpy.py BAG OUT.npz [TOPIC]

Needs rosbags and numpy alone, neither ROS nor this package: an mcap that the recorder wrote brings its messages' definitions.
Arrays over N messages; the side is 0 left, 1 right; NaN where a hand is not valid.
"""

import sys
from pathlib import Path

import numpy as np
from rosbags.highlevel import AnyReader

bag, out, topic = (*sys.argv[1:], "/hands")[:3]
rows = []
with AnyReader([Path(bag)]) as reader:
    connections = [connection for connection in reader.connections if connection.topic == topic]
    if not connections:
        sys.exit(f"{bag} has no topic {topic}; it has {', '.join(sorted(reader.topics))}")
    for connection, _, data in reader.messages(connections):
        pair = reader.deserialize(data, connection.msgtype)
        valid = np.array([pair.left.valid, pair.right.valid])
        joints, wrist = np.full((2, 21, 3), np.nan), np.full((2, 7), np.nan)
        for side, hand in enumerate((pair.left, pair.right)):
            if hand.valid:
                joints[side] = [(point.x, point.y, point.z) for point in hand.joints]
                p, q = hand.wrist.position, hand.wrist.orientation
                wrist[side] = p.x, p.y, p.z, q.x, q.y, q.z, q.w
        relative = pair.left_root_relative
        stamp = pair.header.stamp.sec * 1_000_000_000 + pair.header.stamp.nanosec
        rows.append((stamp, valid, joints, wrist, (relative.x, relative.y, relative.z)))

stamp, valid, joints, wrist, relative = (np.array(column) for column in zip(*rows))
np.savez_compressed(
    out,
    stamp=stamp,  # (N,) nanoseconds
    valid=valid,  # (N, 2)
    joints=joints,  # (N, 2, 21, 3) metres, camera optical frame
    wrist=wrist,  # (N, 2, 7) metres and quaternion x, y, z, w
    left_root_relative=relative,  # (N, 3) metres, left wrist minus right wrist
)
print(f"{out}: {len(stamp)} messages, left hand in {valid[:, 0].sum()}, right in {valid[:, 1].sum()}")
