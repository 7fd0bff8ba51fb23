"""Faults in the middle of an export: nothing half-written is taken for whole, and a rerun comes to the same bytes."""

import contextlib
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("rclpy", reason="bags need ROS 2 (pip install 'fourdhands[ros]')")

from bag_support import read_bag, write_bag
from episode_support import CAMERA, Demonstration, bags, exported, files, hand, rows, run, told  # noqa: F401
from limits_support import limited
from ros_support import PATIENT, REPOSITORY, SECOND, T0

from fourdhands_core import cli
from fourdhands_core.episodes.folder import ExportFolder
from fourdhands_core.episodes.parts import made_whole
from fourdhands_core.episodes.sidecar import Sidecar
from fourdhands_core.pipeline.types import HandPairEstimate
from fourdhands_ros.bags.info import HAND_PAIR
from fourdhands_ros.convert.encoders import HandPairEncoder
from fourdhands_ros.episodes import whole

with contextlib.suppress(ModuleNotFoundError):  # a workspace, in which the plugins of launch import this file, may lack it
    import pyarrow  # noqa: F401
pytestmark = pytest.mark.skipif("pyarrow" not in globals(), reason="datasets need it (pip install 'fourdhands[dataset]')")


def test_a_truncated_bag_among_others(bags, tmp_path, capsys):
    """What can be read of it is exported, and said; one without anything is a failure that the others survive, among which a
    discarded one does not count."""
    folder = shutil.copytree(bags, tmp_path / "bags")
    Sidecar(state="discarded").write(shutil.copytree(folder / "bag_2", folder / "bag_1"))
    cut = shutil.copytree(folder / "bag_2", folder / "bag_3")
    file = next(cut.glob("*.mcap"))
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    empty = folder / "bag_4"
    empty.mkdir()
    (empty / "bag_4.mcap").write_bytes(file.read_bytes()[:40])
    code, _, said = run(capsys, "export", folder, "--out", tmp_path / "out", "--quiet", "--no-images")
    assert code == 2 and "1 of 4 bags failed" in said and "bag_4" in said and not (tmp_path / "out").exists()
    code, _, said = run(capsys, "export", folder, "--out", tmp_path / "out", "--quiet", "--no-images", "--skip-failed")
    assert code == 0 and "cut off or is damaged" in said
    by_name = {one["bag"]: one for one in told(tmp_path / "out")["bags"]}
    assert by_name["bag_3"]["seconds"] < by_name["bag_2"]["seconds"] and by_name["bag_3"]["episodes"] == 1
    assert "bag_4" in told(tmp_path / "out")["skipped"]


def test_the_same_command_that_leaves_out_a_failed_bag_comes_to_the_same(bags, tmp_path, capsys):
    """Also one that can be opened, as of another topic: its dataset was said to be of other bags or options."""
    folder = shutil.copytree(bags, tmp_path / "bags")
    entries = [("/other/hands", time, data) for topic, time, data in read_bag(folder / "bag_2") if topic == "/cam/hands"]
    write_bag(folder / "bag_3", entries, {"/other/hands": HAND_PAIR})
    command = ["export", folder, "--out", tmp_path / "out", "--topic", "/cam/hands", "--no-images", "--skip-failed"]
    code, out, _ = run(capsys, *command)
    assert code == 0 and "bag_3: left out, failed: --topic /cam/hands holds no HandPair" in out
    code, out, _ = run(capsys, *command)
    assert code == 0 and "nothing was done" in out and "bag_3: left out, failed" in out
    shutil.rmtree(folder / "bag_3")
    shutil.copytree(folder / "bag_2", folder / "bag_3")
    code, _, said = run(capsys, *command)
    assert code == 2 and "of other bags or options" in said


def test_what_lies_beside_a_bag_cannot_be_read(bags, tmp_path, capsys):
    """It is that bag's failure alone: the others are exported, listed and checked, and no label is changed by half."""
    folder = shutil.copytree(bags, tmp_path / "bags")
    (folder / "bag_2" / "episode.json").write_text('{"task": "li')
    command = ["export", folder, "--out", tmp_path / "out", "--quiet", "--no-images"]
    code, _, said = run(capsys, *command)
    assert code == 2 and "1 of 2 bags failed" in said and "bag_2/episode.json is no episode's file" in said
    assert "Traceback" not in said and "--skip-failed" in said and not (tmp_path / "out").exists()
    assert run(capsys, *command, "--skip-failed")[0] == 0
    assert [one["bag"] for one in told(tmp_path / "out")["bags"]] == ["bag_10"]
    assert "is no episode's file" in told(tmp_path / "out")["skipped"]["bag_2"]
    code, out, _ = run(capsys, *command, "--skip-failed")
    assert code == 0 and "nothing was done" in out
    code, out, _ = run(capsys, "list", folder)
    assert code == 1 and "is no episode's file" in out and "bag_10: /cam" in out
    code, out, said = run(capsys, "check", folder)
    assert code == 1 and "bag_2/episode.json is no episode's file" in said and "bag_10" in out
    code, _, said = run(capsys, "relabel", folder, "--task", "lift")
    assert code == 2 and "is no episode's file" in said and not (folder / "bag_10" / "episode.json").exists()


def test_a_label_that_cannot_be_written(bags, tmp_path, capsys, monkeypatch):
    """As where a folder turns read-only, or a disk is full: the others are labelled, that is said, and nothing else is left."""
    folder = shutil.copytree(bags, tmp_path / "bags")
    in_its_place = folder / "bag_2" / f".episode.json.{os.getpid()}"
    in_its_place.mkdir()
    code, out, said = run(capsys, "relabel", folder, "--task", "lift")
    assert code == 2 and "1 of 2 episodes were not changed, the others were" in said and "bag_2/episode.json cannot be" in said
    assert "bag_10: kept" in out and (folder / "bag_10" / "episode.json").exists()
    in_its_place.rmdir()

    def full(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = files(folder)
    monkeypatch.setattr(os, "fsync", full)
    code, _, said = run(capsys, "relabel", folder, "--task", "pour")
    assert code == 2 and "2 of 2 episodes" in said and "No space left" in said and files(folder) == before


@pytest.mark.parametrize("form", ["lerobot", "hdf5", "npz"])
def test_names_and_texts_that_are_not_utf_8(bags, tmp_path, capsys, form):
    """A folder may have any bytes for its name; a dataset's text has none of them."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    shutil.copytree(bags / "bag_10", folder / os.fsdecode(b"bag\xe9"))
    (shutil.copytree(bags / "bag_10", folder / os.fsdecode(b"bag\xe8")) / "episode.json").write_text("{")
    command = ["export", folder, "--out", tmp_path / "out", "--no-images", "--skip-failed", "--quiet", "--format", form]
    assert run(capsys, *command)[0] == 0
    assert [one["bag"] for one in told(command[3])["bags"]] == ["bag\\udce9"] and run(capsys, "check", command[3])[0] == 0
    for words in (["export", folder, "--out", tmp_path / "none", "--task"], ["relabel", folder, "--note"]):
        with pytest.raises(SystemExit):
            cli.main(["episodes", *map(str, words), os.fsdecode(b"caf\xe9")])
        assert "is not UTF-8" in capsys.readouterr().err


def test_what_is_said_of_bags_that_are_left_out_is_the_same_everywhere(bags, tmp_path, capsys):
    """Whatever folder they and the dataset lie in; and two of one name are both told."""
    made = []
    for place in (tmp_path / "one", tmp_path / "another" / "place"):
        for inner in ("a", "b"):
            shutil.copytree(bags / "bag_10", place / inner / "bag_3")
            (place / inner / "bag_3" / "episode.json").write_text('{"task": ')
        shutil.copytree(bags / "bag_2", place / "bag_2")
        command = ["export", place, "--out", place / "out", "--no-images", "--skip-failed"]
        assert run(capsys, *command)[0] == 0
        shutil.copytree(place / "out", place / "out.partial" / "parts" / ("0" * 32))  # as a run leaves it that is killed now
        (place / "out.partial" / "lock").touch()
        assert run(capsys, *command)[0] == 0 and not (place / "out.partial").exists()
        made.append(files(place / "out"))
    assert made[0] == made[1]
    skipped = told(tmp_path / "one" / "out")["skipped"]
    assert skipped.keys() == {"a/bag_3", "b/bag_3"} and all(
        reason.startswith(f"failed: {bag}") for bag, reason in skipped.items()
    )


def test_bags_of_one_name_are_told_apart(bags, tmp_path, capsys):
    """In what the command says, in what the dataset says, and by the check of their folders."""
    for inner in ("a", "b"):
        shutil.copytree(bags / "bag_2", tmp_path / "all" / inner / "bag_3")
    (tmp_path / "all" / "b" / "bag_3" / "episode.json").write_text('{"state": "recording", "span": [0, null]}')
    for form, text in (("lerobot", "meta/fourdhands.json"), ("npz", "index.json")):
        command = "export", tmp_path / "all", "--out", tmp_path / form, "--no-images", "--format", form
        code, out, _ = run(capsys, *command)
        assert code == 0 and "a/bag_3: 2 episodes" in out and "b/bag_3: 2 episodes" in out
        said = json.loads((tmp_path / form / text).read_text())
        assert {one["bag"] for one in said.get("bags", said["episodes"] if form == "npz" else ())} == {"a/bag_3", "b/bag_3"}
    assert "b/bag_3: its recording was not ended" in run(capsys, "check", tmp_path / "all")[2]
    assert [*whole._names(["https://lab/one%20bag", str(tmp_path / "bag_2")]).values()] == ["one bag", "bag_2"]


def test_an_export_that_comes_to_nothing_leaves_nothing(bags, tmp_path, capsys):
    """And says how much of a bag for each reason; what failed is named once."""
    command = "export", bags / "bag_2", "--out", tmp_path / "out", "--no-images", "--min-seconds", "3"
    code, _, said = run(capsys, *command)
    assert code == 2 and "between two losses (2.97 s); right hand not seen (1.03 s)" in said, said
    assert not [*tmp_path.iterdir()]
    code, _, said = run(capsys, "export", bags, "--out", tmp_path / "out", "--frame", "moon")
    assert code == 2 and said.count(f"{bags / 'bag_2'}: ") == 1 and said.count("no frame is called moon") == 2, said
    assert not [*tmp_path.iterdir()]


def test_a_bag_that_cannot_be_read_is_no_success_of_list(bags, tmp_path, capsys):
    (tmp_path / "all").mkdir()
    shutil.copytree(bags / "bag_10", tmp_path / "all" / "good")
    assert run(capsys, "list", tmp_path / "all")[0] == 0
    (tmp_path / "all" / "bad").mkdir()
    (tmp_path / "all" / "bad" / "bad.mcap").write_bytes(next((bags / "bag_10").glob("*.mcap")).read_bytes()[:40])
    code, out, _ = run(capsys, "list", tmp_path / "all")
    assert code == 1 and "good: /cam" in out and out.count(f"{tmp_path / 'all' / 'bad'} holds no message") == 1
    (tmp_path / "all" / "bad" / "episode.json").write_text(
        '{"state": "discarded"}'
    )  # as the recorder leaves what nothing came to
    assert run(capsys, "list", tmp_path / "all")[0] == 0


def test_what_another_version_left_is_made_anew(bags, exported, tmp_path, capsys):
    """A part that says less than this version's, or whose text is none."""
    out = tmp_path / "out"
    for number, text in enumerate(('{"bag": "bag_2"}', "{")):
        with ExportFolder(out) as work:
            assert run(capsys, "export", bags, "--out", tmp_path / f"other_{number}", "--task", "lift", "--quiet")[0] == 0
            for one in told(tmp_path / f"other_{number}")["bags"]:
                work.part(one["key"]).mkdir()
                (work.part(one["key"]) / "part.json").write_text(text)
        code, _, said = run(capsys, "export", bags, "--out", out, "--task", "lift", "--quiet")
        assert code == 0, said
        assert files(out) == files(exported)
        shutil.rmtree(out)


def test_a_part_that_another_process_made_meanwhile_is_kept(tmp_path):
    with made_whole(tmp_path / "part") as mine:
        mine.mkdir()
        (mine / "file").write_text("same")
        shutil.copytree(mine, tmp_path / "part")
    assert [path.name for path in tmp_path.iterdir()] == ["part"]


def test_two_exports_into_one_folder(bags, tmp_path, capsys):
    out = tmp_path / "out"
    with ExportFolder(out):
        code, _, said = run(capsys, "export", bags, "--out", out, "--quiet")
        assert code == 2 and "another process exports" in said
    assert not out.exists() and not (tmp_path / "out.partial").exists()


def test_what_is_there_is_left_alone(bags, exported, tmp_path, capsys):
    before = files(exported)
    code, out, _ = run(capsys, "export", bags, "--out", exported, "--task", "lift", "--quiet")
    assert code == 0 and "nothing was done" in out
    code, _, said = run(capsys, "export", bags, "--out", exported, "--fps", "15", "--quiet")
    assert code == 2 and "of other bags or options" in said
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "text").write_text("mine")
    code, _, said = run(capsys, "export", bags, "--out", tmp_path / "mine", "--quiet")
    assert code == 2 and "no finished export" in said
    code, _, said = run(capsys, "export", bags, "--out", bags / "bag_2", "--quiet")
    assert code == 2
    assert files(exported) == before


def test_a_place_that_cannot_be_written(bags, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for out in ("/proc/self/dataset", tmp_path / "file" / "dataset"):
        code, _, said = run(capsys, "export", bags, "--out", out, "--quiet")
        assert code == 2 and "choose another" in said and "Traceback" not in said


@pytest.mark.parametrize("form", ["lerobot", "hdf5"])
def test_a_full_disk(bags, tmp_path, capsys, form):
    """Told with what to do; afterwards the command goes on to the same dataset. The system refuses files beyond a size that the
    parts have and the dataset has not."""
    command = ["export", bags, "--out", tmp_path / "out", "--no-images", "--quiet", "--format"]
    sizes = []
    for one in ("npz", form):
        assert run(capsys, *command, one)[0] == 0
        sizes.append(max(len(data) for data in files(tmp_path / "out").values()))
        undisturbed = files((tmp_path / "out").rename(tmp_path / one))
    limit = sizes[1] * 19 // 20
    assert sizes[0] < limit
    done = subprocess.run(
        limited(limit, "-m", "fourdhands_core.cli", "episodes", *command, form, "--jobs", "1"),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "make room and give the same command again" in done.stderr, done.stderr
    assert not (tmp_path / "out").exists()
    assert run(capsys, *command, form)[0] == 0
    assert files(tmp_path / "out") == undisturbed


def test_poses_of_another_hand_model_are_left_out(tmp_path, capsys):
    """As where a node was started anew with other parameters while it was recorded: the same numbers are other poses."""
    entries, types = Demonstration(seconds=2.0, images=False, robot=False).entries()
    last, encoder = entries[-1][1], HandPairEncoder("net", "human")
    for number in range(1, 16):
        stamp = last + number * SECOND // 30
        hands = [hand(side, (stamp - T0) / SECOND) for side in range(2)]
        entries.append(("/cam/hands", stamp, encoder.encode(HandPairEstimate(stamp, *hands, camera=CAMERA), "cam_optical", {})))
    write_bag(tmp_path / "bag", entries, types)
    code, said, _ = run(capsys, "export", tmp_path / "bag", "--out", tmp_path / "out")
    assert code == 0 and "15 times HandPair of the hand model human, after those of generic" in said
    assert (rows(tmp_path / "out")["stamp.row"] < last).all() and told(tmp_path / "out")["bags"][0]["facts"][
        "hand_model"
    ] == "generic"


def test_a_bag_that_changes_meanwhile(bags, tmp_path, capsys, monkeypatch):
    import fourdhands_ros.episodes.export as export

    bag = shutil.copytree(bags / "bag_10", tmp_path / "bag")
    original = export.read_recording

    def growing(*arguments):
        recording = original(*arguments)
        with next(bag.glob("*.mcap")).open("ab") as file:
            file.write(b"more")
        return recording

    monkeypatch.setattr(export, "read_recording", growing)
    parts = tmp_path / "parts"
    parts.mkdir()
    with pytest.raises(Exception, match="changed while it was read"):
        export.make_part(bag, parts, export.Options(), lambda done, of: None)
    assert not list(parts.iterdir())

    def removing(*arguments):
        shutil.rmtree(parts)
        return original(*arguments)

    monkeypatch.setattr(export, "read_recording", removing)
    with pytest.raises(Exception, match="parts was removed while it was written to"):  # which is not the bag's fault
        export.make_part(bags / "bag_10", parts, export.Options(), lambda done, of: None)


def test_killed_at_any_moment_it_ends_the_same(bags, exported, tmp_path):
    """kill -9 after a random while, again and again, until a run comes to its end."""
    out, rng = tmp_path / "out", random.Random(5)
    command = [sys.executable, "-m", "fourdhands_core.cli", "episodes", "export", str(bags), "--out", str(out)]
    for attempt in range(3):
        process = subprocess.Popen(
            [*command, "--task", "lift", "--quiet", "--jobs", "1"], cwd=REPOSITORY, start_new_session=True
        )
        try:
            process.wait(timeout=rng.uniform(1.0, 4.0))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENT)
        assert not out.exists() or (out / "meta" / "info.json").is_file()
        if out.exists():
            break
    deadline = time.monotonic() + PATIENT
    while subprocess.run([*command, "--task", "lift", "--quiet"], cwd=REPOSITORY).returncode and time.monotonic() < deadline:
        pass  # a child of the killed one may hold the lock for a moment
    assert files(out) == files(exported)
    assert not (tmp_path / "out.partial").exists()


def test_bags_of_another_hand_model_are_left_out(tmp_path, capsys, monkeypatch):
    """The dataset mixed both, whose parameters are other poses and shapes."""
    for name, model in (("a", "mano"), ("b", "generic"), ("c", "generic")):
        monkeypatch.setattr("episode_support.HandPairEncoder", lambda network, _, model=model: HandPairEncoder(network, model))
        Demonstration(seconds=2.0, images=False, robot=False).write(tmp_path / "bags" / name)
    code, said, _ = run(capsys, "export", tmp_path / "bags", "--out", tmp_path / "out")
    assert code == 0 and "a: left out, its hands are of the model 'mano', those of b of 'generic'" in said, said
    assert [one["facts"]["hand_model"] for one in told(tmp_path / "out")["bags"] if one["used"]] == ["generic", "generic"]
