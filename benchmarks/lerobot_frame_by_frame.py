"""The plain use of lerobot beside which benchmarks/episodes.py measures: add_frame for each row. It needs lerobot alone.

lerobot_frame_by_frame.py PICTURES ROWS OUT FPS [streaming]: PICTURES is a folder of JPEG files, ROWS an .npy of (N, D) numbers.
Prints the seconds and processor seconds from the first row to the finished dataset, without those to
import lerobot.
"""

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
from lerobot.configs.video import RGBEncoderConfig
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from PIL import Image

files, rows = sorted(Path(sys.argv[1]).glob("*.jpg")), np.load(sys.argv[2])
height, width = np.asarray(Image.open(files[0])).shape[:2]
names = [str(k) for k in range(rows.shape[1])]
features = {
    "observation.state": {"dtype": "float32", "shape": (len(names),), "names": names},
    "action": {"dtype": "float32", "shape": (len(names),), "names": names},
    "observation.images.camera": {"dtype": "video", "shape": (height, width, 3), "names": ["height", "width", "channels"]},
}


def processor() -> float:
    """Seconds of this process and those that it ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


begin, before = time.perf_counter(), processor()
dataset = LeRobotDataset.create(
    "plain/hands",
    int(sys.argv[4]),
    features,
    root=sys.argv[3],
    rgb_encoder=RGBEncoderConfig(vcodec="h264", crf=23, preset="veryfast"),
    streaming_encoding="streaming" in sys.argv,
)
for number, file in enumerate(files):
    state, action = rows[number], rows[min(number + 1, len(rows) - 1)]
    picture = np.asarray(Image.open(file))
    dataset.add_frame({"observation.state": state, "action": action, "observation.images.camera": picture, "task": "plain"})
dataset.save_episode()
dataset.finalize()
told = {"seconds": time.perf_counter() - begin, "cpu_seconds": processor() - before}
print(json.dumps({name: round(value, 2) for name, value in told.items()}))
