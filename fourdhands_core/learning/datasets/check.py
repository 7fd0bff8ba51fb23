"""Says what is found in a dataset on disk, and draws annotated samples: `fourdhands data check`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from ...hand_model.assets import HandAsset
from ...hand_model.skeleton import BONES, JOINT_NAMES, MANO_IN_21, SIDES
from ...media.draw import SIDE_COLOURS, contact_sheet, draw_skeleton, draw_text
from ...media.images import write_image
from ...media.render import Light, render_meshes
from ...streams import counted
from .frames import DatasetFrame, HandDataset, HandTruth

_IMAGES = 20
"""Images read to see their sizes."""


@dataclass
class Report:
    """What `check` found in the frames that it looked at; str() is the text for people."""

    name: str
    frames: int
    checked: int
    sequences: list[int]
    """Lengths."""
    frame_rate: float | None
    hands: Counter = field(default_factory=Counter)
    """Frames by "left", "right", "both" or "none"."""
    ground_truth: Counter = field(default_factory=Counter)
    """Hands by truth, "metric joints" among them."""
    incomplete: int = 0
    """Frames in which a hand that is not annotated may be there."""
    focal: list[float] = field(default_factory=list)
    """Pixels, two a frame with a camera."""
    distortion: set[str] = field(default_factory=set)
    image_sizes: Counter = field(default_factory=Counter)
    wrong_sizes: list[str] = field(default_factory=list)
    """Keys of images of another size than their camera's."""
    unusable: int = 0
    """Images read that the dataset's users leave out (HandDataset.usable)."""
    reprojection: list[float] = field(default_factory=list)
    """Pixels, a point each: the joints through the camera beside the points."""
    mesh_distance: list[float] = field(default_factory=list)
    """Metres, a joint each: the hand model's joints of the mesh beside the joints."""
    bones: list[np.ndarray] = field(default_factory=list)
    """(20,) metres a hand, in the order of skeleton.BONES."""

    def __str__(self) -> str:
        total = sum((2 if key == "both" else 1) * count for key, count in self.hands.items() if key != "none")
        rate = f", {self.frame_rate:g} a second" if self.frame_rate else ""
        some = "all" if self.checked == self.frames else f"{self.checked}, evenly spaced,"
        lines = [f"{self.name}: {counted(self.frames, 'frames')}{rate}; {some} looked at"]
        if lengths := self.sequences:
            lines.append(f"sequences     {len(lengths)}, of {min(lengths)} to {counted(max(lengths), 'frames')}")
        hands = ", ".join(f"{key} {self.hands[key]}" for key in (*SIDES, "both", "none"))
        if self.incomplete:
            hands += f"; in {counted(self.incomplete, 'frames')} other hands may be there"
        truth = ", ".join(f"{key} {count}" for key, count in sorted(self.ground_truth.items())) or "none"
        camera = f"in {len(self.focal) // 2} of {counted(self.checked, 'frames')}"
        if self.focal:
            camera += f", focal length {min(self.focal):.1f} to {max(self.focal):.1f} px"
            camera += f", distortion {', '.join(sorted(self.distortion))}"
        images = ", ".join(f"{width}x{height} ({count} read)" for (width, height), count in self.image_sizes.most_common(6))
        if self.unusable:
            images += f"; {self.unusable} of them to be left out"
        if self.wrong_sizes:
            images += f"; another size than the camera's: {', '.join(self.wrong_sizes[:3])}"
        lines += [f"hands         {hands}", f"ground truth  {truth} (of {total} hands)"]
        lines += [f"camera        {camera}", f"images        {images}"]
        lines.append("reprojection  " + _spread(self.reprojection, 1.0, "px", "joints through the camera beside the points"))
        lines.append(
            "mesh          " + _spread(self.mesh_distance, 1e3, "mm", "the hand model's joints of the mesh beside the joints")
        )
        if self.bones:
            shortest, longest = np.nanmin(self.bones, axis=0) * 1e3, np.nanmax(self.bones, axis=0) * 1e3
            spans = zip(BONES, shortest, longest)
            bones = [f"{JOINT_NAMES[child]} {low:.0f}-{high:.0f}" for (_, child), low, high in spans if np.isfinite(low)]
            lines.append(f"bones         {np.nanmin(shortest):.1f} to {np.nanmax(longest):.1f} mm; by bone: {', '.join(bones)}")
        return "\n".join(lines)


def check(dataset: HandDataset, limit: int = 1000) -> Report:
    """Look at up to `limit` frames, evenly spaced, and at a few of their images; DatasetError where one is missing."""
    indices = _spaced(len(dataset), limit)
    report = Report(dataset.name, len(dataset), len(indices), [len(s) for s in dataset.sequences.values()], dataset.frame_rate)
    read = {indices[i] for i in _spaced(len(indices), _IMAGES)}
    for index in indices:
        frame = dataset[index]
        present = [SIDES[side] for side, hand in enumerate(frame.hands) if hand is not None]
        report.hands["both" if len(present) == 2 else (*present, "none")[0]] += 1
        report.incomplete += not frame.complete
        if frame.camera is not None:
            report.focal += [frame.camera.matrix[0, 0], frame.camera.matrix[1, 1]]
            report.distortion.add(frame.camera.distortion_model or "none")
        for side, hand in enumerate(frame.hands):
            if hand is not None:
                _look_at(hand, dataset.hands and dataset.hands[side], frame, report)
        if index in read:
            image = frame.load()
            height, width = image.shape[:2]
            report.unusable += not dataset.usable(image)
            report.image_sizes[width, height] += 1
            if frame.camera is not None and (width, height) != (frame.camera.width, frame.camera.height):
                report.wrong_sizes.append(frame.key)
    return report


def _look_at(hand: HandTruth, model: HandAsset | None, frame: DatasetFrame, report: Report):
    report.ground_truth.update(hand.ground_truth)
    if hand.joints is None:
        return
    report.ground_truth["metric joints"] += hand.metric
    report.bones.append(np.array([np.linalg.norm(hand.joints[a] - hand.joints[b]) for a, b in BONES]))
    if hand.points is not None and hand.metric and frame.camera is not None:
        distance = np.linalg.norm(frame.camera.project(hand.joints) - hand.points, axis=1)
        report.reprojection += distance[np.isfinite(distance)].tolist()
    if hand.vertices is not None and model is not None:
        distance = np.linalg.norm(model.J_regressor @ hand.vertices - hand.joints[MANO_IN_21], axis=1)
        report.mesh_distance += distance[np.isfinite(distance)].tolist()


def draw_samples(dataset: HandDataset, path: Path, count: int = 12) -> None:
    """Write a PNG with `count` annotated frames, evenly spaced: meshes, skeletons, boxes, each hand's ground truth."""
    pictures = [annotated(dataset[index], dataset) for index in _spaced(len(dataset), count)]
    write_image(path, contact_sheet(pictures, columns=min(4, len(pictures)), cell_width=480))


def annotated(frame: DatasetFrame, dataset: HandDataset) -> np.ndarray:
    """The frame's image with its ground truth drawn, (H, W, 3) uint8 RGB."""
    image = np.ascontiguousarray(frame.load())
    meshes = [
        (hand.vertices, dataset.hands[side].faces, np.tile(np.array(SIDE_COLOURS[side]) / 255.0, (778, 1)))
        for side, hand in enumerate(frame.hands)
        if hand is not None and hand.vertices is not None and hand.metric and dataset.hands is not None
    ]
    if meshes and frame.camera is not None:
        image, _ = render_meshes(image, meshes, frame.camera, Light(ambient=0.2), alpha=0.6)
    taken = None
    for side, hand in enumerate(frame.hands):
        if hand is None:
            continue
        x1, y1, x2, y2 = np.clip(hand.box, -1e4, 1e4).round().astype(int).tolist()
        cv2.rectangle(image, (x1, y1), (x2, y2), SIDE_COLOURS[side], max(1, round(max(image.shape) / 500)))
        points = hand.points
        if points is None and hand.joints is not None and hand.metric and frame.camera is not None:
            points = frame.camera.project(hand.joints)
        if points is not None:
            draw_skeleton(image, points, side)
        text = f"{SIDES[side]}: {', '.join(hand.ground_truth) or 'box'}"
        taken = draw_text(image, text, (x1, y2 + 2), SIDE_COLOURS[side], taken=taken)
    return image


def _spaced(size: int, count: int) -> list[int]:
    return np.unique(np.linspace(0, size - 1, min(size, count)).round().astype(int)).tolist()


def _spread(values, factor, unit, what) -> str:
    if not values:
        return f"not to be had ({what})"
    values = np.array(values) * factor
    return (
        f"median {np.median(values):.2f} {unit}, 99 % below {np.quantile(values, 0.99):.2f}, "
        f"largest {values.max():.2f} ({what})"
    )
