"""Measures how many crops of a hand are rendered a second on one core, and augmented and packed into batches.

python benchmarks/synthesis.py > benchmarks/synthesis.json
"""

import json
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import torch

from fourdhands_core.hand_model.assets import load_human_hand, pair_of
from fourdhands_core.learning.image.batches import Batches
from fourdhands_core.learning.image.settings import AugmentationSettings, TrainingSettings, build

BATCHES = 30


def measure(name, length, augmentation):
    """CPU and wall milliseconds a crop of batches of 16 sequences, after the skins and backgrounds are made."""
    settings = build(
        TrainingSettings,
        {"run": {"batch": 16, "steps": 1000}, "data": {"length": length, "opposite": 0.0}, "augmentation": augmentation},
        name,
        "",
    )
    batches = Batches(settings, pair_of(load_human_hand()))
    looks = batches.sources[0]._synthesis.looks
    for what, count in (("skin", looks.settings.skins), ("background", looks.settings.backgrounds)):
        for number in range(count):
            looks._kept(what, number)
    batches[0]
    cpu, wall, crops = time.process_time(), time.perf_counter(), 0
    for k in range(1, 1 + BATCHES // length):
        crops += int(batches[k]["present"].sum())
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {
        "crops": crops,
        "cpu_ms_a_crop": round(1e3 * cpu / crops, 2),
        "crops_a_cpu_second": round(crops / cpu),
        "crops_a_second": round(crops / wall),
    }


if __name__ == "__main__":
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    none = dict.fromkeys(AugmentationSettings.__dataclass_fields__, 0.0)
    print(
        json.dumps(
            {
                "rendered": measure("rendered", 1, none),
                "rendered_and_augmented": measure("augmented", 1, {}),
                "sequences_of_9_rendered_and_augmented": measure("sequences", 9, {}),
            },
            indent=1,
        )
    )
