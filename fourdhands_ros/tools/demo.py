"""`make demo`: a camera process, the node as another, a recording of every topic, and what it came to.

Without an argument the camera plays a rendered clip of two hands whose truth is known; with --video or --camera it is
the same on real input, without truth. Everything is written to one folder: bag/ (rosbag2, mcap), report.json,
report.html, overlay.mp4, contact_sheet.png, node.log, and clip/ with the rendered clip and its truth.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, MutableMapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from fourdhands_core.errors import DependencyError, FourDHandsError, InputError
from fourdhands_core.extras import needed_for
from fourdhands_core.files import refuse_overwriting
from fourdhands_core.geometry import CALIBRATION_FILES
from fourdhands_core.outputs import check_folder, make_folder, write_text
from fourdhands_core.streams import counted, prepare_streams

from ..executable import end, make_room_for_images, parser_of

if TYPE_CHECKING:
    from rclpy.node import Node


LOG = "node.log"
OUTPUTS = "overlay.mp4", "contact_sheet.png", "report.json", "report.html", LOG, "camera.log"
"""What is written beside the recording."""
TOPICS_OF_NODE = ("hands", "hands/markers", "hands/faces", "/tf")
START_TIMEOUT = 90.0
"""Seconds for the node to load its models on a slow machine."""


class Process:
    """A Python module in a process group of its own: Ctrl-C reaches this program only, which ends it in order."""

    def __init__(self, module: str, *arguments: str, log: Path, **options: Any):
        self.name, self.log = module, log
        self._file = open(log, "w")
        options = {"stdout": self._file, **options}
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], stderr=self._file, start_new_session=True, text=True, **options
        )

    def check(self) -> None:
        """Raise InputError with the end of its log where the process has ended."""
        if self.process.poll() is not None:
            lines = self.log.read_text(errors="replace").splitlines()[-15:]
            raise InputError(
                f"{self.name} ended with exit code {self.process.returncode}; the end of {self.log}:\n  " + "\n  ".join(lines)
            )

    def stop(self, timeout: float = 15.0) -> None:
        """Interrupt the process as Ctrl-C would, and end it where that takes too long."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._file.close()


class CameraProcess(Process):
    """fourdhands_ros.tools.camera, with the lines that it says on stdout; its own errors are raised here."""

    def __init__(self, *arguments: str, log: Path):
        super().__init__("fourdhands_ros.tools.camera", *arguments, log=log, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.said: dict = {}
        self.ended = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            with contextlib.suppress(json.JSONDecodeError):  # libraries say something there too
                self.said.update(json.loads(line))
        self.ended.set()

    def check(self) -> None:
        """Raise what the camera logged as wrong, where it has ended without saying what it published. What it said may be read
        later than its end is seen."""
        if "published" in self.said or not self.ended.is_set():
            return
        if problems := re.findall(r"\[ERROR\] .*?\]: (.*)", self.log.read_text(errors="replace")):
            raise InputError(problems[-1])
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5.0)
        super().check()

    def start(self) -> None:
        """Let it play."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()


def wait_for(condition: Callable[[], bool], checks: Iterable[Callable[[], None]], pause: float = 0.05) -> None:
    """Wait for the start of the others, `pause` seconds between looks.

    Raises what a check raises, and InputError after START_TIMEOUT.
    """
    deadline = time.monotonic() + START_TIMEOUT
    while not condition():
        for check in checks:
            check()
        if time.monotonic() > deadline:
            raise InputError(f"node and camera did not start within {START_TIMEOUT:.0f} s; see node.log and camera.log")
        time.sleep(pause)


def configure_dds(environment: MutableMapping[str, str]) -> None:
    """Keep DDS on this machine and make room for images in its shared memory, unless the user has said otherwise."""
    environment.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    make_room_for_images(environment)


def check_alone(listener: Node) -> None:
    """Raise InputError where another camera or node, or another's time, is in the demo's ROS domain and would mix in."""
    for topic in ("image_raw", "camera_info", "hands", "/clock"):
        names = [f"{info.node_namespace.rstrip('/')}/{info.node_name}" for info in listener.get_publishers_info_by_topic(topic)]
        if len(names) > 1:
            raise InputError(
                f"{len(names)} nodes publish {listener.resolve_topic_name(topic)} in this ROS domain "
                f"({', '.join(names)}); end the other one, or use another domain: ROS_DOMAIN_ID=42"
            )


def record(source: str, out: Path, camera_arguments: list[str], frames: int | None) -> dict:
    """Play a source through the node and record it to out/bag; returns what the camera said: published, first_stamp.

    source: video file or camera index. frames: how many are expected, for the progress bar. Ctrl-C ends the recording.
    """
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from ..bags.recorder import Recorder

    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(rclpy.try_shutdown)
        listener = rclpy.create_node("recorder")
        cleanup.callback(listener.destroy_node)
        recorder = Recorder(listener, out / "bag")
        cleanup.callback(recorder.close)
        camera = CameraProcess(source, "--wait", "--subscribers", "2", *camera_arguments, log=out / "camera.log")
        cleanup.callback(camera.stop)
        # The overlay is drawn from the vertices in HandPair.
        node = Process("fourdhands_ros", "--ros-args", "-p", "publish_vertices:=true", log=out / LOG)
        cleanup.callback(node.stop)
        # Another camera may be found late, or come late: it is looked for all the time.
        checks = (camera.check, node.check, recorder.check, lambda: check_alone(listener))
        # Nothing is played before everyone has found everyone, so that no frame is lost to the start.
        topics = *TOPICS_OF_NODE, "image_raw", "camera_info"
        wait_for(lambda: "ready" in camera.said and all(map(recorder.publishers, topics)), checks)
        time.sleep(1.0)  # the node's side of the discovery cannot be seen from here
        for check in checks:
            check()
        camera.start()
        with tqdm(total=frames, unit="frame", desc="tracking") as bar:
            try:
                while not camera.ended.wait(0.2):
                    for check in checks:
                        check()
                    bar.update(recorder.counts["/hands"] - bar.n)
                finish(recorder)
            except KeyboardInterrupt:
                camera.stop()
                camera.ended.wait(5.0)
                finish(recorder)
            bar.update(recorder.counts["/hands"] - bar.n)
        camera.check()
        node.check()
    return camera.said


def finish(recorder: Any) -> None:
    """Wait for the estimates that are still on their way."""
    count = -1
    while recorder.counts["/hands"] > count:
        count = recorder.counts["/hands"]
        time.sleep(0.7)


def prepare(out: Path) -> None:
    """Make the output folder and remove an earlier run's recording from it, which has that run's log beside it; raises
    InputError for anybody else's."""
    bag = out / "bag"
    if bag.exists() and not (list(bag.glob("*.mcap")) and (out / LOG).is_file()):
        raise InputError(f"{bag} is there and is no recording of the demo's; choose another folder with --out")
    check_folder(out)
    shutil.rmtree(bag, ignore_errors=True)
    (make_folder(out) / LOG).touch()


def run(args: argparse.Namespace) -> None:
    """The demo, from the rendered clip to the printed report."""
    try:
        import rclpy  # noqa: F401
        import rosbags  # noqa: F401
    except ImportError as error:
        raise DependencyError(
            f"the demo needs ROS 2 and rosbags, and {error.name} is not installed: "
            "`make install`, or pip install 'fourdhands[ros]'"
        ) from error
    from fourdhands_core.media.video import VideoReader

    out, truth = args.out, None
    camera_arguments = []
    if args.video is None and args.camera is None:
        with needed_for("a rendered clip"):
            from fourdhands_core.media.clips import demo_clip
        prepare(out)
        seconds, fps = 12.0 if args.seconds is None else args.seconds, 30.0
        progress = partial(tqdm, total=round(seconds * fps), unit="frame", desc="rendering")
        clip = demo_clip(out / "clip", seconds=seconds, fps=fps, progress=progress)
        source, truth, frames = str(clip.video), clip.truth, len(clip.truth["stamp"])
        camera_arguments += ["--intrinsics", str(clip.intrinsics)]
    else:
        source = args.video if args.video is not None else str(args.camera)
        with VideoReader(source) as reader:
            fps, frames = reader.fps, reader.frame_count
            refuse_overwriting([*(out / name for name in OUTPUTS), *(out / "bag").rglob("*")], [*reader.files, args.intrinsics])
        prepare(out)
        if args.seconds is not None:
            camera_arguments += ["--seconds", str(args.seconds)]
            frames = round(args.seconds * fps) if frames is None else min(frames, round(args.seconds * fps))
        for option, value in (("--fov", args.fov), ("--intrinsics", args.intrinsics)):
            if value is not None:
                camera_arguments += [option, str(value)]

    said = record(source, out, camera_arguments, frames)
    if not said["published"]:
        raise InputError(f"{source} gave no frame; see {out / 'camera.log'}")

    from fourdhands_core.hand_model.assets import load_human_hand, pair_of
    from fourdhands_core.view.report import write_report

    from ..view.bag_recording import BagRecording
    from .demo_report import Recording, summary, text, write_pictures

    recording = Recording.read(out / "bag")
    if not recording.pairs:
        raise InputError(f"the node published nothing for {said['published']} images; see {out / LOG}")
    if said["skipped"] or said["slowed"]:
        unknown = truth is not None and said["slowed"]  # the truth of frames is found by their times
        print(
            f"this computer was too busy for the camera: it left out {counted(said['skipped'], 'frames')}, and the "
            f"video played {said['slowed']:.1f} s longer" + (", so that errors are not known" if unknown else "")
        )
        truth = None if unknown else truth
    numbers = summary(recording, said["published"], truth, said["first_stamp"], fps)
    numbers["rates"]["skipped"] = said["skipped"]
    write_text(out / "report.json", json.dumps(numbers, indent=1) + "\n")
    progress = partial(tqdm, total=recording.counts["/image_raw"], unit="frame", desc="drawing")
    write_pictures(out / "bag", recording, out, fps, progress)
    with contextlib.closing(BagRecording(out / "bag", pair_of(load_human_hand()))) as page:
        write_report(page, out / "report.html")
    print(
        f"\n{text(numbers)}\n\nwritten to {out}: bag/ (every topic), overlay.mp4, contact_sheet.png, report.json\n"
        f"to look at in a browser: {out / 'report.html'}"
    )


def main(argv: list[str] | None = None) -> int:
    """Run the demo; returns the exit code: 0, 2 for an error that the user can fix, 130 when interrupted."""
    prepare_streams()
    parser = parser_of("tools.demo", __doc__)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--video", help="play this video, or folder of images, instead of the rendered clip")
    source.add_argument("--camera", type=int, help="use this live camera; Ctrl-C ends the recording")
    lens = parser.add_mutually_exclusive_group()
    lens.add_argument("--fov", type=float, help="horizontal field of view of the video or camera, degrees")
    lens.add_argument("--intrinsics", type=Path, help=f"calibration of the video or camera: {CALIBRATION_FILES}")
    parser.add_argument("--seconds", type=float, help="length of the rendered clip (12), or of the recording")
    parser.add_argument("--out", type=Path, default=Path("demo_output"), help="folder for the results")
    args = parser.parse_args(argv)
    if args.seconds is not None and not args.seconds > 0:
        parser.error(f"--seconds {args.seconds} is not positive")
    return run_demo(lambda: run(args))


def run_demo(demo: Callable[[], int | None]) -> int:
    """Run a demo whose processes are this machine's; returns the exit code: what it returns, 2 or 130, see `main`."""
    configure_dds(os.environ)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return demo() or 0
    except FourDHandsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    end(main())
