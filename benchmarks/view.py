"""What the page in a browser costs. `python benchmarks/view.py open|node [--minutes 10] [--out FILE.json]`.

FILE keeps what was measured before of the other.

open: a bag of an hour at 30 Hz, with hands and JPEG images, by `fourdhands view` in a Chromium (playwright is needed, see `make
test-extras`): seconds until its hands are shown, and from a number that is typed in to that number's image, while the bag is
still read, with pauses in which it is read, and afterwards; then it is played, and memory of the command and of the page told
in the first and in the last quarter of the time after the first minute.
node: --video at 30 Hz to the node; by turns there is no viewer, a viewer that nobody looks at, and one with a client.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "test"))
from view_support import moving

HZ = 30
CODES, BAND = 256, 60
"""Images of a recording tell their number, modulo so many, by eight fields in so many rows at the top."""


def write_hour(path: Path, seconds: int) -> None:
    """A bag of hands and compressed images, which tell their number, in chunks as rosbag2 packs them."""
    import cv2
    from rclpy.serialization import serialize_message
    from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
    from sensor_msgs.msg import CompressedImage

    from fourdhands_ros.convert.encoders import HandPairEncoder
    from fourdhands_ros.pypi.message_types import typestore

    encoder, pairs = HandPairEncoder("landmark", "human"), moving(HZ, range(0))
    hands = [bytearray(encoder.encode(pair, "camera", {"total": 0.02})) for pair in pairs]
    noise = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8), (0, 0), 6)
    images = []
    for number in range(CODES):
        coded = noise.copy()
        coded[:BAND] = np.repeat(255 * ((number >> np.arange(8)) & 1), 80)[None, :, None]
        message = CompressedImage(format="jpeg", data=cv2.imencode(".jpg", coded)[1].tobytes())
        message.header.frame_id = "camera"
        images.append(bytearray(serialize_message(message)))
    writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with writer:
        to_hands = writer.add_connection("/hands", "fourdhands_ros/msg/HandPair", typestore=typestore())
        to_images = writer.add_connection("/image_raw/compressed", "sensor_msgs/msg/CompressedImage", typestore=typestore())
        for i in range(seconds * HZ):
            stamp = 1_700_000_000 * 10**9 + i * 10**9 // HZ
            for data, topic, late in ((images[i % CODES], to_images, 2_000_000), (hands[i % HZ], to_hands, 40_000_000)):
                data[4:12] = np.array(divmod(stamp, 10**9), "<u4").tobytes()
                writer.write(topic, stamp + late, bytes(data))


LOOK = """
const scene = () => document.querySelector("canvas[data-engine]");
const small = Object.assign(document.createElement("canvas"), {width: 80, height: 1});
const strip = small.getContext("2d", {willReadFrequently: true});
window.code = () => {  // of the image, as the camera's eye sees it; -1 where none is shown
  const seen = scene(), high = seen.height, wide = high * 4 / 3, left = (seen.width - wide) / 2;
  strip.drawImage(seen, left, 0.06 * high, wide, 1, 0, 0, 80, 1);
  const bytes = strip.getImageData(0, 0, 80, 1).data;
  let number = 0;
  for (let k = 0; k < 8; k++) {
    const light = bytes[4 * (10 * k + 5)];
    if (light > 70 && light < 185) return -1;
    number += (light >= 185) << k;
  }
  return number;
};
window.watch = (wanted) => {  // milliseconds from the next input until this number is shown
  let began = null;
  addEventListener("input", () => { began = began ?? performance.now(); }, {capture: true, once: true});
  window.shown = new Promise((done) => {
    const look = () => {
      if (began !== null && code() === wanted) done(performance.now() - began); else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
};
"""


def stay_open(minutes: float, seconds: int = 3600) -> dict:
    """Seconds to open and to seek, then megabytes of the command and of the page while the recording is played."""
    from playwright.sync_api import sync_playwright

    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as cleanup:
        write_hour(Path(name) / "bag", seconds)
        playwright = cleanup.enter_context(sync_playwright())
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--enable-unsafe-swiftshader", "--js-flags=--expose-gc"]
        )
        cleanup.callback(browser.close)
        began = time.monotonic()
        command = [sys.executable, "-m", "fourdhands_core.cli", "view", str(Path(name) / "bag"), "--port", "0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        cleanup.callback(server.wait)
        cleanup.callback(server.terminate)
        address = server.stdout.readline().split()[1]  # type: ignore[union-attr]
        served, began = time.monotonic() - began, time.monotonic()
        tab = browser.new_page(viewport={"width": 1000, "height": 420})
        tab.set_default_timeout(120_000)
        tab.goto(address)
        tab.get_by_text("TRACKED").first.wait_for()
        tab.wait_for_selector("canvas[data-engine]")
        tab.evaluate(LOOK)
        opened = time.monotonic() - began
        tab.get_by_role("button", name="Look through the camera").click()
        tab.wait_for_function("() => code() === 0")
        field = tab.locator("xpath=//label[.='Image']/following::input[@type='text'][1]")

        def seek(pause: float) -> float:
            tab.wait_for_timeout(1e3 * pause * rng.uniform())
            row = int(rng.integers(0, seconds * HZ))
            tab.evaluate("(wanted) => watch(wanted)", row % CODES)
            field.fill(str(row))
            return tab.evaluate("() => window.shown") / 1e3

        result = {"cores": os.cpu_count(), "until its address is printed (s)": round(served, 2)}
        result["then until a browser shows hands (s)"] = round(opened, 2)
        for when, pause in (("while the bag is read", 1.5), ("afterwards", 0.0)):
            times = [seek(pause) for _ in range(40)]
            result[f"seek {when}, p50 (s)"] = round(float(np.median(times)), 3)
            result[f"seek {when}, max (s)"] = round(max(times), 3)
            if when != "afterwards":
                wait_until_read(server.pid)
        samples: list[tuple[float, float, float]] = []
        began = time.monotonic()
        while (now := time.monotonic() - began) < 60 * minutes:
            if tab.get_by_role("button", name="Play", exact=True).count():
                tab.get_by_role("button", name="Play", exact=True).click()
            heap = tab.evaluate("() => { if (window.gc) gc(); return performance.memory.usedJSHeapSize }") / 1e6
            samples.append((now, resident(server.pid), heap))
            tab.wait_for_timeout(2000)
    table = np.array([sample for sample in samples if sample[0] > min(60.0, 15.0 * minutes)])
    quarter = max(len(table) // 4, 1)
    first, last = np.median(table[:quarter], axis=0), np.median(table[-quarter:], axis=0)
    return {
        **result,
        "minutes": minutes,
        "samples": len(table),
        "server, first and last quarter (MB)": [round(float(first[1]), 1), round(float(last[1]), 1)],
        "page's heap, first and last quarter (MB)": [round(float(first[2]), 1), round(float(last[2]), 1)],
        "load at the end (5 min)": round(os.getloadavg()[1], 1),
    }


def wait_until_read(pid: int) -> None:
    """Until the command has nothing more to read: it takes next to no time of a core."""
    quiet = 0
    while quiet < 3:
        before = used(pid)
        time.sleep(1.0)
        quiet = quiet + 1 if used(pid) - before < 0.2 else 0


WHO = "no viewer", "nobody", "one client"
"""Who looks in a slot."""


def node(video: Path, minutes: float, slot: float = 6.0) -> dict:
    """The node's time of a core and the ages of its HandPairs, by who looks. Slots take turns there and back again, so that
    what changes slowly is the same to all; they are put together, with intervals by drawing rounds of slots anew."""
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from fourdhands_ros.pypi.message_types import HandPair, create_subscription
    from fourdhands_ros.tools.benchmark import camera_clip
    from fourdhands_ros.tools.demo import CameraProcess, Process, configure_dds, wait_for

    configure_dds(os.environ)
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    space = f"view_{os.getpid()}"  # whatever else is on this domain
    listener = rclpy.create_node("cost", namespace=space, enable_rosout=False)
    ages: list[float] = []
    slots: dict[str, list[Slot]] = {who: [] for who in WHO}
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as cleanup:
        cleanup.callback(rclpy.try_shutdown)
        folder = Path(name)

        def take(pair) -> None:
            ages.append(time.time() - pair.header.stamp.sec - pair.header.stamp.nanosec * 1e-9)

        create_subscription(listener, HandPair, "hands", take, 10)
        tracker = Process("fourdhands_ros", "--ros-args", "-r", f"__ns:=/{space}", log=folder / "node.log")
        cleanup.callback(tracker.stop)
        options = "--fov", "60", "--subscribers", "1", "--loop", "--namespace", space
        camera = CameraProcess(str(camera_clip(video, folder)), *options, log=folder / "camera.log")
        cleanup.callback(camera.stop)

        def spin(seconds: float) -> None:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                rclpy.spin_once(listener, timeout_sec=0.05)

        def measure(who: str, viewer: int | None = None) -> None:
            spin(2.0)
            ages.clear()
            start, before = time.monotonic(), [used(pid) for pid in (tracker.process.pid, viewer)]
            spin(slot)
            seconds = time.monotonic() - start
            busy = [used(pid) - was for pid, was in zip((tracker.process.pid, viewer), before)]
            slots[who].append(Slot(seconds, *busy, np.array(ages)))

        wait_for(lambda: rclpy.spin_once(listener, timeout_sec=0.05) or len(ages) > 30, [tracker.check, camera.check])
        began = time.monotonic()
        while time.monotonic() - began < 60 * minutes:
            measure("no viewer")
            port = free_port()
            command = "fourdhands_core.cli", "view", f"/{space}/hands", "--port", str(port)
            viewer = Process(*command, log=folder / "view.log")
            try:
                wait_for(lambda port=port: spin(0.2) or listening(port), [viewer.check])
                measure("nobody", viewer.process.pid)
                with looking(port):
                    for _ in range(2):
                        measure("one client", viewer.process.pid)
                measure("nobody", viewer.process.pid)
            finally:
                viewer.stop()
            measure("no viewer")
        listener.destroy_node()
    result: dict = {"video": video.name, "slots of each": len(slots["nobody"]) // 2 * 2, "seconds a slot": slot}
    return result | compared(slots)


def compared(slots: dict[str, list[Slot]]) -> dict:
    """What was measured by who looked, and beside no viewer, with intervals."""
    rounds = len(slots["nobody"]) // 2
    result: dict = {"cores": os.cpu_count(), "load at the end (5 min)": round(os.getloadavg()[1], 1)}
    # a node that others hold up says nothing of what a viewer costs one that keeps up
    found = {who: put_together(rows) for who, rows in slots.items()}
    result["the node kept up"] = found["no viewer"]["hands (Hz)"] > 0.9 * HZ
    result |= {who: {name: round(value, 4) for name, value in one.items()} for who, one in found.items()}
    rng = np.random.default_rng(0)
    drawn = [np.ravel([[2 * k, 2 * k + 1] for k in rng.integers(0, rounds, rounds)]) for _ in range(500)]
    for who in WHO[1:]:
        told = {}
        for name in ("node's time a pair (ms)", "age p50 (s)", "age p99 (s)"):
            again = [put_together([slots[who][k] for k in one])[name] for one in drawn]
            base = [put_together([slots[WHO[0]][k] for k in one])[name] for one in drawn]
            low, high = np.percentile(np.divide(again, base), [5, 95]).tolist()
            told[name.rpartition(" (")[0]] = [round(value, 3) for value in (low, found[who][name] / found[WHO[0]][name], high)]
        result[f"{who} / no viewer: 5 %, the ratio, 95 %"] = told
    return result


class Slot(NamedTuple):
    """What was measured in a while. node, viewer: seconds of a core that they had. ages: seconds, of each HandPair."""

    seconds: float
    node: float
    viewer: float
    ages: np.ndarray


def put_together(slots: Sequence[Slot]) -> dict[str, float]:
    """What slots come to, as if they were one."""
    ages = np.concatenate([one.ages for one in slots])
    seconds, node, viewer = (sum(one[k] for one in slots) for k in range(3))
    return {
        "node (cores)": node / seconds,
        "viewer (cores)": viewer / seconds,
        "hands (Hz)": len(ages) / seconds,
        "node's time a pair (ms)": 1e3 * node / len(ages),
        "age p50 (s)": float(np.percentile(ages, 50)),
        "age p99 (s)": float(np.percentile(ages, 99)),
    }


def used(pid: int | None) -> float:
    """Seconds of a core that a process has had; 0 for None."""
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def listening(port: int) -> bool:
    """Whether somebody serves at a port."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def looking(port: int):
    """A client that takes all that is sent to it, as a page does, and draws none of it: a browser on another machine.

    It has a process and a session of its own, of the lowest priority: it is not to be measured, nor are ages to wait for it.
    """
    command = [sys.executable, __file__, "client", "--port", str(port)]
    client = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    try:
        client.stdout.readline()  # type: ignore[union-attr]
        yield
    finally:
        client.terminate()
        client.communicate()


def client(port: int) -> None:
    """Take all that the page at a port sends, until the end."""
    os.nice(19)
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text("19")
    import viser
    from websockets.sync.client import connect

    protocol = f"viser-v{viser.__version__}"
    with connect(f"ws://localhost:{port}", subprotocols=[protocol], max_size=None, compression=None) as page:  # type: ignore[list-item]
        page.recv()
        print("there", flush=True)
        for _ in page:
            pass


def resident(pid: int) -> float:
    """Megabytes of a process's memory that no file has part in."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("open", "node", "client"))
    parser.add_argument("--port", type=int, help="of the page, for `client`, which looks and does nothing else")
    parser.add_argument("--video", type=Path, help="of hands, for `node`; its first 10 s are looped")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.what == "client":
        return client(args.port)
    if args.what == "node":
        if args.video is None:
            parser.error("node needs --video")
        result = node(args.video, args.minutes)
    else:
        result = stay_open(args.minutes)
    print(json.dumps(result, indent=1))
    if args.out:
        known = json.loads(args.out.read_text()) if args.out.is_file() else {}
        args.out.write_text(json.dumps({**known, args.what: result}, indent=1) + "\n")


if __name__ == "__main__":
    main()
