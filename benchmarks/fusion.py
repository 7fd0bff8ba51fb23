"""Measures several cameras fused beside each of them alone, in the same run, on rendered clips with true poses of the cameras.

python benchmarks/fusion.py [--seconds S] [--seeds N ...] [--drawn] [--long N ...] [--layouts NAME ...] [--cache DIR]

The hands show gestures, turn, cross, leave and touch (with --drawn: any pose and turn, as networks are trained with); shapes
and motions are drawn from seeds that no training uses, and the package's detector looks for hands in every picture. Of clips
of half a minute it is measured how well the cameras' poses are found from the hands, and after how long a camera that was
bumped is told.
"""

import argparse
import json
import os
import pickle
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np

from fourdhands_core.errors import InputError
from fourdhands_core.fusion.fusion import HandFusion
from fourdhands_core.fusion.rig.extrinsics import calibrate, compare
from fourdhands_core.fusion.views import View
from fourdhands_core.geometry.rigid import Rigid
from fourdhands_core.geometry.rotations import matrix_from_axis_angle
from fourdhands_core.hand_model.arrays import HandArrays
from fourdhands_core.hand_model.assets import load_human_hand, pair_of
from fourdhands_core.media.track_cameras import collect
from fourdhands_core.pipeline.shape_calibration import hand_length
from fourdhands_core.pipeline.tracker import HandPairTracker

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "test"))
from cameras_support import Layout, SeenByCameras, arc, standard_layouts

ASSETS = pair_of(load_human_hand())
NEAR, APART = 0.1, 0.08
"""Metres: a hand so near to the other hand's place, where both are so far apart, has the wrong side."""


def tracked(seen, path):
    """By camera (estimate, rays, seconds of computing) of each image, kept in a file."""
    if path is not None and path.exists():
        return pickle.loads(path.read_bytes())
    cameras = []
    for number, camera in enumerate(seen.cameras):
        tracker, rows = HandPairTracker(), []
        for stamp, image in seen.images(number):
            began = time.process_time()
            estimate = tracker.process(image, stamp, camera)
            rows.append((estimate, estimate.rays, time.process_time() - began))
        tracker.close()
        cameras.append(rows)
    if path is not None:
        path.write_bytes(pickle.dumps(cameras))
    return cameras


class Errors:
    """Collects what hands are off by. wrists, joints, roots: millimetres."""

    def __init__(self):
        self.wrists, self.joints, self.roots, self.wrong, self.found = [], [], [], 0, 0

    def add(self, hands, truth):
        """hands: by side (21, 3) or None. truth: (2, 21, 3), the same frame."""
        for side, joints in enumerate(hands):
            if joints is None:
                continue
            self.found += 1
            own, other = (np.linalg.norm(joints[9] - truth[k, 9]) for k in (side, 1 - side))
            if other < own and other < NEAR and np.linalg.norm(truth[0, 9] - truth[1, 9]) > APART:
                self.wrong += 1
                continue
            self.wrists.append(1e3 * np.linalg.norm(joints[0] - truth[side, 0]))
            around = joints - joints[0] - (truth[side] - truth[side, 0])
            self.joints.append(1e3 * np.linalg.norm(around, axis=1).mean())
        if all(joints is not None for joints in hands):
            apart = hands[0][0] - hands[1][0] - (truth[0, 0] - truth[1, 0])
            self.roots.append(1e3 * np.linalg.norm(apart))

    def figures(self):
        return {
            "wrist_mm": mean(self.wrists),
            "mpjpe_mm": mean(self.joints),
            "mrrpe_mm": mean(self.roots),
            "hands": self.found,
            "wrong_sides": self.wrong,
        }


def mean(values):
    return round(float(np.mean(values)), 1) if values else None


def measure(layout, seed, path, trackers):
    """Errors of each camera alone, of all together (whole, and where two cameras or more are in it), and what else is asked."""
    seen = SeenByCameras(layout, seed)
    rows = tracked(seen, path)
    fusion, alone = HandFusion(ASSETS), [Errors() for _ in rows]
    together, several, single = Errors(), Errors(), Errors()
    union = spent = outputs = 0
    jumps, old, last, first = [], [], {}, {}
    steady = {"one": [], "several": []}
    for _, number, k in sorted((row[0].stamp, number, k) for number, one in enumerate(rows) for k, row in enumerate(one)):
        estimate, rays = rows[number][k][:2]
        pose = seen.poses[number]
        alone[number].add([pose.apply(h.joints) if h.valid else None for h in estimate.hands], seen.truth[number].joints[k])
        began = time.process_time()
        results = fusion.add(View(str(number), pose, estimate, rays))
        spent += time.process_time() - began
        for fused in results:
            outputs += 1
            pair = fused.pair
            camera = int(next(view.name for view in fused.views if view.stamp == pair.stamp))
            truth = seen.truth[camera].joints[np.searchsorted(seen.truth[camera].stamp, pair.stamp)]
            hands = [hand.joints if hand.valid else None for hand in pair.hands]
            together.add(hands, truth)
            several.add([joints if len(fused.pair.cameras[side]) > 1 else None for side, joints in enumerate(hands)], truth)
            single.add([joints if len(fused.pair.cameras[side]) == 1 else None for side, joints in enumerate(hands)], truth)
            union += sum(any(view.estimate.hands[side].valid for view in fused.views) for side in (0, 1))
            for side, joints in enumerate(hands):
                if joints is not None:
                    error = joints[0] - truth[side, 0]
                    if side not in last or pair.stamp - last[side][0] > 3e8:
                        first[side] = pair.stamp
                    cameras = fused.pair.cameras[side]
                    if side in last and pair.stamp - last[side][0] < 7e7:
                        step = 1e3 * float(np.linalg.norm(error - last[side][1]))
                        if last[side][2] != cameras:
                            jumps.append(step)
                        if pair.stamp - first[side] > 2e8:
                            which = steady["several" if len(cameras) > 1 else "one"] if last[side][2] == cameras else old
                            which.append(step)
                    last[side] = pair.stamp, error, cameras
    trackers.append((spent, sum(row[2] for one in rows for row in one)))
    return {
        "alone": [one.figures() for one in alone],
        "fused": together.figures(),
        "fused_where_two_cameras_or_more_see_it": several.figures(),
        "fused_where_one_camera_sees_it": single.figures(),
        "estimates": outputs,
        "found_by_the_union": union,
        "largest_jump_where_cameras_change_mm": round(max(jumps), 1) if jumps else 0.0,
        "jumps_of_hands_seen_for_0.2_s_mm": {
            "changes": len(old),
            "median": round(float(np.median(old)), 1) if old else None,
            "above_5": sum(jump > 5.0 for jump in old),
            "largest": round(max(old), 1) if old else None,
        },
        "steps_where_the_same_cameras_see_it_mm": {
            views: {"images": len(steps), "above_5": sum(step > 5.0 for step in steps)} for views, steps in steady.items()
        },
        "mpjpe_of_best_alone": round(together.figures()["mpjpe_mm"] / min(one.figures()["mpjpe_mm"] for one in alone), 2),
    }


KINDS = "fused", "fused_where_two_cameras_or_more_see_it", "fused_where_one_camera_sees_it"
ERRORS = "wrist_mm", "mpjpe_mm", "mrrpe_mm"


def summary(results, layouts, spent):
    """Means over clips of each distance, and what is asked of all clips together. spent: processor seconds of fusing and of
    tracking, by clip."""
    by_distance, clips = {}, list(results.values())
    for distance in sorted({layout.distance for layout in layouts.values()}):
        these = [one for name, one in results.items() if layouts[name.rsplit(", seed", 1)[0]].distance == distance]
        alone = [single for one in these for single in one["alone"]]
        rows = {kind: means([one[kind] for one in these]) for kind in KINDS}
        ratio = round(float(np.mean([one["mpjpe_of_best_alone"] for one in these])), 2)
        by_distance[f"{distance} m"] = {"alone": means(alone), **rows, "mpjpe_of_best_alone": ratio, "clips": len(these)}
    jumps = [one["jumps_of_hands_seen_for_0.2_s_mm"] for one in clips]
    singles = [single for one in clips for single in one["alone"]]
    return {
        "by_distance": by_distance,
        "hands": sum(one["fused"]["hands"] for one in clips),
        "hands_of_the_union": sum(one["found_by_the_union"] for one in clips),
        "wrong_sides_percent": {"fused": wrong_sides([one["fused"] for one in clips]), "alone": wrong_sides(singles)},
        "jumps_of_hands_seen_for_0.2_s_mm": {
            "changes": sum(one["changes"] for one in jumps),
            "above_5": sum(one["above_5"] for one in jumps),
            "largest": max((one["largest"] for one in jumps if one["changes"]), default=None),
        },
        "steps_where_the_same_cameras_see_it_mm": {
            views: {
                key: sum(one["steps_where_the_same_cameras_see_it_mm"][views][key] for one in clips)
                for key in ("images", "above_5")
            }
            for views in ("one", "several")
        },
        "cost_of_fusion": round(1.0 + sum(fused for fused, _ in spent) / sum(tracked for _, tracked in spent), 3),
    }


def means(figures):
    return {key: mean([one[key] for one in figures if one[key] is not None]) for key in ERRORS}


def wrong_sides(figures):
    return round(100.0 * sum(one["wrong_sides"] for one in figures) / max(1, sum(one["hands"] for one in figures)), 2)


def long_layouts():
    """Half a minute of hands, 15 images a second of each camera: such as also go up and down, near and far, as one is asked to
    for a calibration, and such as stay at one height."""
    roams = 0.05, 0.15, 0.12
    rows = [(0.3, 0.5, roams), (0.6, 1.0, roams), (1.0, 1.0, roams), (0.6, 1.0, (0.0, 0.0, 0.0))]
    return {
        f"{baseline} m apart, {distance} m away{', roaming' if any(far) else ''}": Layout(
            distance, arc(baseline, distance), (15.0, 15.0), (0.0, 0.0125), 30.0, roams=far
        )
        for baseline, distance, far in rows
    }


def calibrated(seen, rows):
    """How far the poses that are found from the hands are off, given the hand's length and without."""
    order = sorted((row[0].stamp, number, k) for number, one in enumerate(rows) for k, row in enumerate(one))
    base = seen.poses[0].inverse()
    true = {str(number): base @ pose for number, pose in enumerate(seen.poses)}
    length, result = hand_length(HandArrays(ASSETS), seen.truth[0].betas[1]), {}
    for name, given in (("with hand_length", length), ("without", 0.0)):
        sightings = collect((str(number), rows[number][k][0], rows[number][k][1]) for _, number, k in order)
        try:
            found = calibrate(sightings, ASSETS, hand_length=given)
        except InputError as error:
            result[name] = str(error)
            continue
        one, sure = compare(true, found)["1"], found.certainty["1"]
        result[name] = {
            "angle_degrees": round(one.angle, 2),
            "baseline_percent": round(100.0 * one.baseline, 2),
            "said_sigma_degrees": round(sure.angle, 2),
            "said_sigma_percent": round(100.0 * sure.distance / np.linalg.norm(true["1"].position), 2),
            "within_two_sigma": bool(one.angle < 2.0 * sure.angle and one.distance < 2.0 * sure.distance),
            "hands": sure.hands,
        }
    return result


def bumped(seen, rows, degrees=5.0, after=10.0):
    """By the axis about which one camera is turned, the seconds until it is told that something is wrong, None where never; and
    the share of estimates before at which that was said."""
    order = sorted((row[0].stamp, number, k) for number, one in enumerate(rows) for k, row in enumerate(one))
    result = {}
    for axis, name in enumerate("xyz"):
        fusion, told, false, before = HandFusion(ASSETS), None, 0, 0
        turn = Rigid(matrix_from_axis_angle(np.radians(degrees) * np.eye(3)[axis]))
        for stamp, number, k in order:
            moved = number == 1 and stamp > after * 1e9
            pose = seen.poses[number] @ turn if moved else seen.poses[number]
            fusion.add(View(str(number), pose, *rows[number][k][:2]))
            problems = fusion.consistency.problems(stamp)
            if stamp <= after * 1e9:
                before, false = before + 1, false + bool(problems)
            elif problems:
                told = {"seconds": round(stamp * 1e-9 - after, 2), "said": problems[0]}
                break
        result[name] = {"told": told, "told_before": round(false / before, 3)}
    return result


def chosen(layouts, names):
    """Those of a row of names, all where there is none."""
    return {name: layout for name, layout in layouts.items() if names is None or name in names}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[80000, 80003, 80005])
    parser.add_argument("--drawn", action="store_true")
    parser.add_argument("--long", type=int, nargs="*", default=[80000, 80003], help="seeds of the clips of half a minute")
    parser.add_argument("--layouts", nargs="+", help="names of layouts to measure, short and long ones; all by default")
    parser.add_argument("--cache", type=Path, help="folder that keeps what single cameras saw, and how long it took")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    results, spent = {}, []
    layouts = chosen(standard_layouts(args.seconds, args.drawn), args.layouts)
    for name, layout in layouts.items():
        for seed in args.seeds:
            path = None
            if args.cache:
                args.cache.mkdir(parents=True, exist_ok=True)
                path = args.cache / f"{name.replace(' ', '_')}-{seed}.pkl"
            results[f"{name}, seed {seed}"] = measure(layout, seed, path, spent)
            print(name, seed, results[f"{name}, seed {seed}"]["fused"], file=sys.stderr, flush=True)
    cameras = {}
    for name, layout in chosen(long_layouts(), args.layouts).items():
        for seed in args.long:
            path = args.cache and args.cache / f"long_{name.replace(' ', '_')}-{seed}.pkl"
            seen = SeenByCameras(layout, seed)
            rows = tracked(seen, path)
            cameras[f"{name}, seed {seed}"] = {"poses_from_hands": calibrated(seen, rows), "bumped": bumped(seen, rows)}
            print(name, seed, cameras[f"{name}, seed {seed}"], file=sys.stderr, flush=True)
    whole = {
        "seconds": args.seconds,
        "drawn": args.drawn,
        "summary": summary(results, layouts, spent),
        "layouts": results,
        "half_a_minute": cameras,
    }
    print(json.dumps(whole, indent=1))


if __name__ == "__main__":
    main()
