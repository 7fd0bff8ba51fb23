"""Reads a dataset with the real lerobot and prints what it finds as JSON: python read_dataset.py DATASET

1,000 random reads whose picture carries the number of the image that the row's stamps name; action chunks by delta_timestamps
against the rows; batches of a DataLoader; statistics against the rows.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from lerobot.datasets.lerobot_dataset import LeRobotDataset

BLOCK, BITS = 16, 16
CHUNK = 8


def number_in(image: np.ndarray) -> int:
    """As episode_support's, of (3, H, W) from 0 to 1."""
    middle = image.mean(axis=0)[BLOCK // 2 :: BLOCK, BLOCK // 2 :: BLOCK][:2].ravel()
    return sum(1 << bit for bit in range(BITS) if middle[bit] > 0.49 * image.max())


root = Path(sys.argv[1])
fps = json.loads((root / "meta" / "info.json").read_text())["fps"]
plain = LeRobotDataset("test/hands", root=root, video_backend="pyav")
camera = next(key for key in plain.meta.video_keys)
table = {
    key: np.array(plain.hf_dataset.with_format("numpy")[key])
    for key in ("action", "observation.state", "episode_index", "index")
}
found = {
    "frames": len(plain),
    "episodes": plain.num_episodes,
    "fps": plain.fps,
    "task": plain[0]["task"],
    "numbers": [],
    "chunks": 0,
    "names": len(plain.meta.features["action"]["names"]),
}
for row in np.random.default_rng(0).integers(0, len(plain), 1000).tolist():
    item = plain[row]
    assert item["index"].item() == row
    number = number_in(item[camera].numpy())
    found["numbers"].append([item["episode_index"].item(), item["frame_index"].item(), number, item["stamp.pictures"].item()])
ahead = LeRobotDataset(
    "test/hands",
    root=root,
    video_backend="pyav",
    delta_timestamps={"action": [k / fps for k in range(CHUNK)], camera: [-1 / fps, 0.0]},
)
for row in range(0, len(ahead), 17):
    item = ahead[row]
    for k in range(CHUNK):
        beyond = row + k >= len(ahead) or table["episode_index"][min(row + k, len(ahead) - 1)] != table["episode_index"][row]
        assert bool(item["action_is_pad"][k]) == beyond
        assert beyond or np.array_equal(item["action"][k].numpy(), table["action"][row + k])
    assert item[camera].shape[0] == 2
    found["chunks"] += 1
loader = torch.utils.data.DataLoader(ahead, batch_size=16, shuffle=True)
found["batches"] = sum(len(batch["action"]) for batch in loader)
for key in ("action", "observation.state"):
    stats, rows = plain.meta.stats[key], table[key].astype(np.float64)
    for name, value in (("min", rows.min(0)), ("max", rows.max(0)), ("mean", rows.mean(0)), ("std", rows.std(0))):
        assert np.allclose(stats[name], value, atol=1e-5), (key, name)
picture = plain.meta.stats[camera]
assert np.shape(picture["mean"]) == (3, 1, 1) and 0 <= np.min(picture["min"]) <= np.max(picture["max"]) <= 1
print(json.dumps(found))
