"""Faults in the middle of an export of many bags: `python benchmarks/export_faults.py [--bags 50] [--kills 10] [--jobs 2]`.

Of the bags one is cut off and one has a damaged episode.json. An undisturbed export says what has to come out. Then the same
command is ended by SIGKILL, with all its processes, at drawn moments: within half a second of when it began, or had so many
bags done, whatever time that takes, a third of them while the dataset is put together of its parts; after each nothing may have
the dataset's name, or the whole of it.
At last it is let run to its end: it must come to the same bytes. So must exports whose disk is full at moments drawn as well,
and of two at once one makes the dataset and the other says so. Prints JSON, or fails with what was not so.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "test" / "ros"), str(ROOT / "test"), str(ROOT)]

from episode_support import Demonstration, files  # noqa: E402


def make_bags(folder: Path, count: int) -> None:
    """Bags of one to three seconds with pictures; of one the end is missing, beside one lies what is no episode.json."""
    for number in range(count):
        Demonstration(seconds=1 + number % 3, jitter=0.003, seed=number).write(folder / f"bag_{number}")
    cut = next((folder / f"bag_{count // 2}").glob("*.mcap"))
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 2 // 3])
    (folder / f"bag_{count // 3}" / "episode.json").write_text('{"task": "li')


def command(bags: Path, out: Path, jobs: int) -> list[str]:
    """Of an export that goes on without what failed."""
    start = [sys.executable, "-m", "fourdhands_core.cli", "episodes", "export", str(bags), "--out", str(out)]
    return [*start, "--skip-failed", "--quiet", "--jobs", str(jobs)]


def run(words: list[str], limit: int | None = None) -> tuple[int, str]:
    """Exit status, what was said on stderr. limit: bytes of a file, beyond which the system refuses to write."""
    refuse = None if limit is None else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    done = subprocess.run(words, cwd=ROOT, preexec_fn=refuse, capture_output=True, text=True)
    return done.returncode, done.stderr


def partial(out: Path) -> Path:
    """Where a dataset is made."""
    return out.with_name(out.name + ".partial")


def parts(out: Path) -> int:
    """How many bags of an unfinished export are done."""
    return sum(1 for _ in (partial(out) / "parts").glob("[!.]*"))


def killed(words: list[str], out: Path, done: int | None, after: float) -> str:
    """What there was when all processes of the export were killed so many seconds after so many bags were done; None: after
    the dataset began to be put together: its parts' number, or `whole`."""
    process = subprocess.Popen(words, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not ((partial(out) / "whole").exists() if done is None else parts(out) >= done):
        time.sleep(0.005)
    try:
        process.wait(timeout=after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if out.exists():
        return "whole"
    return f"{parts(out)} parts" + (", putting together" if done is None else "")


def kills(words: list[str], out: Path, count: int, whole: int, undisturbed: dict[str, bytes], seed: int) -> list[dict]:
    """Kill at drawn moments, each in an export that goes on with what those before it left, or anew after one that was put
    together; then let it end. whole: parts of it."""
    rng, told = random.Random(seed), []
    for number in range(count):
        at_the_end = number % 3 == 2
        done = None if at_the_end else rng.randint(parts(out), max(parts(out), whole - 3))
        there = killed(words, out, done, rng.uniform(0.0, 0.3 if at_the_end else 0.5))
        told.append({"killed_at": "putting together" if done is None else f"{done} parts", "there": there})
        if there == "whole":
            assert files(out) == undisturbed, "what has the dataset's name is not the dataset"
            shutil.rmtree(out)
        elif at_the_end and number < count - 1:  # begin anew, as else all parts would be there for the kills to come
            shutil.rmtree(partial(out))
    code, said = run(words)
    assert code == 0, said
    assert files(out) == undisturbed, "the rerun came to other bytes"
    assert not partial(out).exists()
    return told


def measure(folder: Path, count: int, times: int, jobs: int, seed: int) -> dict:
    """All faults; raises AssertionError where one is not survived."""
    bags = folder / "bags"
    make_bags(bags, count)
    code, said = run(command(bags, folder / "undisturbed", jobs))
    assert code == 0, said
    undisturbed = files(folder / "undisturbed")
    told = json.loads(undisturbed["meta/fourdhands.json"])
    skipped = told["skipped"]
    warned = [one["bag"] for one in told["bags"] if any("cut off" in words for words in one["warnings"])]
    assert "episode.json" in skipped[f"bag_{count // 3}"], skipped
    assert [*warned, *(name for name, words in skipped.items() if "cut off" in words)] == [f"bag_{count // 2}"], skipped
    without = [word for word in command(bags, folder / "strict", jobs) if word != "--skip-failed"]
    code, said = run(without)
    assert code == 2 and f"of {count} bags failed" in said and not (folder / "strict").exists(), said

    out = folder / "killed"
    moments = kills(command(bags, out, jobs), out, times, len(told["bags"]), undisturbed, seed)

    sizes, full = sorted(len(data) for data in undisturbed.values()), []
    for share in (0.5, 0.9, 0.99):
        limit = max(4096, int(sizes[-1] * share))
        code, said = run(command(bags, folder / "full", jobs), limit)
        assert code == 2 and not (folder / "full").exists(), f"{limit}: {code} {said}"
        full.append(next((line for line in said.splitlines() if "make room" in line), said.splitlines()[-1])[:160])
    assert run(command(bags, folder / "full", jobs))[0] == 0 and files(folder / "full") == undisturbed

    pipe = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command(bags, folder / "both", jobs), cwd=ROOT, **pipe) for _ in "12"]
    words = [process.communicate()[1] for process in both]
    codes = sorted(process.returncode for process in both)
    assert codes == [0, 2] and any("another process exports" in one for one in words), words
    assert files(folder / "both") == undisturbed

    code, said = run(command(bags, Path("/proc/self/dataset"), jobs))
    assert code == 2 and "choose another" in said, said
    return {
        "bags": count,
        "skipped": skipped,
        "cut_off": warned,
        "kills": moments,
        "rerun_equals_undisturbed_bytes": True,
        "full_disk": full,
        "two_at_once": codes,
    }


def main() -> None:
    """Print what it came to as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bags", type=int, default=50)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        told = json.dumps(measure(Path(folder), args.bags, args.kills, args.jobs, args.seed), indent=1)
        print(told.replace(f"{folder}/", ""))


if __name__ == "__main__":
    main()
