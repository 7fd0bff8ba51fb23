"""What a recorded run came to: rates, latencies, errors against the truth, and the overlay video, all from its bag."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.rosbag2 import Reader

from fourdhands_core.geometry.camera import Camera
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT, SIDES
from fourdhands_core.learning.evaluation.metrics import mpjpe, mrrpe
from fourdhands_core.media.draw import contact_sheet, draw_hands, draw_text
from fourdhands_core.media.images import write_image
from fourdhands_core.media.video import VideoWriter
from fourdhands_core.streams import counted

from ..convert.camera_info import calibration_from_info
from ..convert.decoders import pair_estimate, points
from ..convert.images import stamp_of
from ..pypi.message_types import typestore


def messages(bag: Path, topic: str) -> Iterator[tuple[int, Any]]:
    """(time of reception in nanoseconds, message) of one topic of a bag, in order of reception."""
    store = typestore()
    with Reader(bag) as reader:
        connections = [connection for connection in reader.connections if connection.topic == topic]
        if connections:
            for connection, received, data in reader.messages(connections):
                yield received, store.deserialize_cdr(data, connection.msgtype)


@dataclass
class Recording:
    """A bag's results, ordered by the images' stamps (N), read once.

    pairs: the HandPair messages. stamp: (N,) of their images, nanoseconds. age: (N,) seconds from the image's stamp to
    the reception of its HandPair. joints: (N, 2, 21, 3) metres, NaN where not valid. counts: messages by topic.
    camera: of CameraInfo; None where it was not calibrated.
    """

    pairs: list
    stamp: np.ndarray
    age: np.ndarray
    joints: np.ndarray
    counts: dict[str, int]
    camera: Camera | None

    @classmethod
    def read(cls, bag: Path) -> Recording:
        """Read everything but the images."""
        with Reader(bag) as reader:
            counts = {topic: info.msgcount for topic, info in reader.topics.items()}
        received = sorted(((stamp_of(pair.header), at, pair) for at, pair in messages(bag, "/hands")), key=lambda row: row[:2])
        stamp = np.array([row[0] for row in received], np.int64)
        age = (np.array([row[1] for row in received], np.int64) - stamp) / 1e9
        pairs = [row[2] for row in received]
        joints = np.full((len(pairs), 2, 21, 3), np.nan)
        for i, pair in enumerate(pairs):
            for side, hand in ((LEFT, pair.left), (RIGHT, pair.right)):
                if hand.valid:
                    joints[i, side] = points(hand.joints)
        info = next((info for _, info in messages(bag, "/camera_info")), None)
        return cls(pairs, stamp, age, joints, counts, None if info is None else calibration_from_info(info).camera())

    def latencies(self) -> dict[str, np.ndarray]:
        """Seconds (N,) by stage as the node measured them, then "stamp to arrival"; NaN where a stage did not run."""
        names = list(dict.fromkeys(name for pair in self.pairs for name in pair.latency_stages))
        rows = [dict(zip(pair.latency_stages, pair.latency)) for pair in self.pairs]
        stages = {name: np.array([row.get(name, np.nan) for row in rows], np.float64) for name in names}
        return {**stages, "stamp to arrival": self.age}


def rates(recording: Recording, published: int) -> dict[str, float]:
    """Frames into and out of the node, frames per second, and what became of the others."""
    last = recording.pairs[-1] if recording.pairs else None
    dropped, rejected = (int(last.frames_dropped), int(last.frames_rejected)) if last else (0, 0)
    count = len(recording.pairs)
    span = (recording.stamp[-1] - recording.stamp[0]) / 1e9 if count > 1 else 0.0
    return {
        "frames_in": published,
        "frames_out": count,
        "dropped": dropped,
        "rejected": rejected,
        "not_received": published - count - dropped - rejected,
        "images_recorded": recording.counts.get("/image_raw", 0),
        "fps": (count - 1) / span if span else 0.0,
    }


def errors(recording: Recording, truth: dict[str, np.ndarray], first_stamp: int, fps: float) -> dict[str, float]:
    """Errors against a clip's truth (see media.clips.clip_truth) over the frames that the node put out, millimetres.

    mpjpe, wrist (position in the camera's frame) over each true hand that was found, mrrpe over frames with both;
    found: share of the true hands; false: number of hands that were put out where the truth has none.
    """
    frame = np.round((recording.stamp - first_stamp) * fps / 1e9).astype(int)
    inside = (frame >= 0) & (frame < len(truth["stamp"]))
    frame, joints = frame[inside], recording.joints[inside]
    true, valid = truth["joints"][frame], truth["valid"][frame]
    found = np.isfinite(joints).all(axis=(2, 3))
    both = (found & valid).all(axis=1)
    result: dict[str, float] = {"true_hands": int(valid.sum()), "false_hands": int((found & ~valid).sum())}
    for name, sides in (("_left", [LEFT]), ("_right", [RIGHT]), ("", [LEFT, RIGHT])):
        hit = (found & valid)[:, sides]
        ours, theirs = joints[:, sides][hit], true[:, sides][hit]
        result[f"found{name}"] = _mean(hit[valid[:, sides]])
        result[f"mpjpe{name}"] = _mean(mpjpe(ours, theirs))
        result[f"wrist{name}"] = _mean(1e3 * np.linalg.norm(ours[:, 0] - theirs[:, 0], axis=-1))
    relative, true_relative = (points[both, LEFT, 0] - points[both, RIGHT, 0] for points in (joints, true))
    result["mrrpe"] = _mean(mrrpe(relative, true_relative))
    result["frames_with_both"] = int(both.sum())
    return result


def summary(recording: Recording, published: int, truth: dict | None = None, first_stamp: int = 0, fps: float = 30.0) -> dict:
    """Everything that `text` prints, as numbers: rates, latency by stage in milliseconds, hands, errors, messages."""
    latency = {
        name: np.nanpercentile(values, (50, 95, 99)).tolist() if np.isfinite(values).any() else [np.nan] * 3
        for name, values in recording.latencies().items()
    }
    return {
        "rates": rates(recording, published),
        "latency_ms": {name: [1e3 * value for value in values] for name, values in latency.items()},
        "hands": {name: int(np.isfinite(recording.joints[:, side, 0, 0]).sum()) for side, name in enumerate(SIDES)},
        "calibrated": recording.camera is not None,
        "errors_mm": errors(recording, truth, first_stamp, fps) if truth is not None else None,
        "messages": recording.counts,
    }


def text(numbers: dict) -> str:
    """The summary for people."""
    rate, hands = numbers["rates"], numbers["hands"]
    lines = [
        f"frames   {rate['frames_in']} in, {rate['frames_out']} out ({rate['fps']:.1f} FPS), "
        f"{rate['dropped']} dropped for a newer one, {rate['rejected']} rejected, {rate['not_received']} not received",
        f"hands    left in {counted(hands['left'], 'frames')}, right in {hands['right']}",
        "",
        f"{'latency, ms':<18}{'p50':>8}{'p95':>8}{'p99':>8}",
    ]
    lines += [f"  {name:<16}" + "".join(f"{value:8.2f}" for value in values) for name, values in numbers["latency_ms"].items()]
    error = numbers["errors_mm"]
    if error is not None:
        lines += [
            "",
            f"{'against the truth':<18}{'both':>8}{'left':>8}{'right':>8}",
            *(
                f"  {label:<16}{error[key]:8.1f}{error[key + '_left']:8.1f}{error[key + '_right']:8.1f}"
                for label, key in (("MPJPE, mm", "mpjpe"), ("wrist, mm", "wrist"))
            ),
            f"  {'MRRPE, mm':<16}{error['mrrpe']:8.1f}    over {counted(error['frames_with_both'], 'frames')} with both hands",
            f"  {'hands found, %':<16}" + "".join(f"{100 * error[key]:8.1f}" for key in ("found", "found_left", "found_right")),
            f"  {'false hands':<16}{error['false_hands']:8d}",
        ]
    elif not numbers["calibrated"]:
        lines += ["", "The camera is not calibrated: directions hold, distances do not. Give --fov or --intrinsics."]
    lines += ["", "messages " + ", ".join(f"{topic} {count}" for topic, count in sorted(numbers["messages"].items()))]
    return "\n".join(lines)


def write_pictures(
    bag: Path, recording: Recording, out: Path, fps: float, progress: Callable[[Iterable], Iterable] = lambda images: images
) -> None:
    """Write overlay.mp4 (every image, with what the node saw in it) and contact_sheet.png (16 that it processed).

    progress: wraps the iterator of images, for a progress bar.
    """
    by_stamp = dict(zip(recording.stamp.tolist(), recording.pairs))
    given = next((message for _, message in messages(bag, "/hands/faces")), None)
    faces = given and [np.reshape(side, (-1, 3)).astype(int) for side in (given.left, given.right)]
    count = len(recording.stamp)
    picked = set(recording.stamp[np.linspace(0, count - 1, min(count, 16)).round().astype(int)].tolist())
    cells = []
    with VideoWriter(out / "overlay.mp4", fps) as writer:
        for _, message in progress(messages(bag, "/image_raw")):
            image = np.array(message.data).reshape(message.height, message.width, 3)
            stamp = stamp_of(message.header)
            pair = by_stamp.get(stamp)
            if pair is None:
                draw_text(image, "dropped by the node", (0, 0))
            else:
                estimate = pair_estimate(pair, recording.camera or Camera.from_fov(message.width, message.height, 60.0))
                draw_hands(image, estimate, faces if recording.camera else None)
            writer.write(image)
            if stamp in picked:
                cells.append(cv2.resize(image, (480, round(480 * image.shape[0] / image.shape[1]))))
    if cells:
        write_image(out / "contact_sheet.png", contact_sheet(cells, 4, 480))


def _mean(values) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
