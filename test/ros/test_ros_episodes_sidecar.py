"""What episode.json says holds wherever the episode goes: through `fourdhands bag`, as a file of its folder, after kill -9."""

import json
from importlib.util import find_spec

import pytest

pytest.importorskip("rclpy", reason="bags need ROS 2 (pip install 'fourdhands[ros]')")

from bag_support import image_entry, write_bag
from episode_support import Demonstration, picture, rows, run
from ros_support import SECOND, T0

from fourdhands_core import cli
from fourdhands_core.episodes.sidecar import Sidecar, read_sidecar
from fourdhands_core.errors import DatasetError

needs_datasets = pytest.mark.skipif(
    not find_spec("pyarrow"), reason="datasets need pyarrow (pip install 'fourdhands[dataset]')"
)


def images(path, count=3, extra=((), {})):
    """A bag with a few images in which no hand is."""
    entries = [
        image_entry("/cam/image_raw", T0 + number * 33_000_000, picture(number), "cam_optical") for number in range(count)
    ]
    return write_bag(
        path, sorted([*entries, *extra[0]], key=lambda one: one[1]), {"/cam/image_raw": "sensor_msgs/msg/Image", **extra[1]}
    )


def bag(*arguments) -> int:
    return cli.main(["bag", "--no-markers", "--quiet", *map(str, arguments)])


def test_what_is_said_of_an_episode_is_said_of_its_bag_of_hands(tmp_path, capsys):
    """`fourdhands bag` left it out: what was discarded was exported, with the count-down, without its task and outcome."""
    said = Sidecar("lift", "discarded", "failure", ["slipped"], missing=["no hand is seen"], span=(T0 + 5, T0 + SECOND))
    said.write(images(tmp_path / "one"))
    assert bag(tmp_path / "one", tmp_path / "out") == 0
    assert read_sidecar(tmp_path / "out") == said
    images(tmp_path / "plain")
    assert bag(tmp_path / "one", tmp_path / "plain", tmp_path / "both") == 0
    assert read_sidecar(tmp_path / "both" / "one") == said and read_sidecar(tmp_path / "both" / "plain") is None
    (tmp_path / "plain" / "episode.json").write_text("[]")
    assert bag(tmp_path / "plain", tmp_path / "none") == 2 and not (tmp_path / "none").exists()
    assert "plain/episode.json is no episode's file" in capsys.readouterr()[1]


def test_a_trimmed_episode_is_trimmed_where_its_own_hands_say(tmp_path):
    """Seconds are counted from the first HandPair, which is another in a bag of hands."""
    entries, types = Demonstration(images=False, robot=False).entries()
    entries.insert(0, ("/cam/hands", T0, entries[0][2][:4] + bytes(8) + entries[0][2][12:]))  # with the stamp 0
    episode = images(tmp_path / "one", 60, (entries, types))
    Sidecar(trim=(0.5, 1.5), span=(T0, T0 + 2 * SECOND)).write(episode)  # the first HandPair is 1 s after T0
    assert bag(episode, tmp_path / "out") == 0
    sidecar = read_sidecar(tmp_path / "out")
    assert (sidecar.trim, sidecar.span) == (None, (T0 + 3 * SECOND // 2, T0 + 2 * SECOND))


@needs_datasets
def test_the_file_of_an_episode_is_that_episode(tmp_path, capsys):
    """As `recordings/*/*.mcap` gives it: its episode.json was passed over, and with it that it was discarded."""
    episode = Demonstration(seconds=4, robot=False, images=False).write(tmp_path / "one")
    (file,) = episode.glob("*.mcap")
    Sidecar("lift", "discarded").write(episode)
    code, _, said = run(capsys, "export", file, "--out", tmp_path / "out", "--quiet")
    assert code == 2 and "discarded" in said, said
    Sidecar("lift", span=(T0 + 2 * SECOND, T0 + 4 * SECOND)).write(episode)
    assert run(capsys, "export", file, "--out", tmp_path / "out", "--quiet")[0] == 0
    assert rows(tmp_path / "out")["stamp.row"].min() == T0 + 2 * SECOND
    Sidecar("drop", span=(T0 + 2 * SECOND, T0 + 4 * SECOND)).write(episode)  # another part
    code, _, said = run(capsys, "export", file, "--out", tmp_path / "out", "--quiet")
    assert code == 2 and "of other bags or options" in said, said


@pytest.mark.parametrize(
    "text",
    [
        '{"state": "discard"}',
        '{"notes": [1]}',
        '{"missing": "no hand"}',
        '{"trim": [NaN, 2]}',
        '{"trim": [0, Infinity]}',
        '{"trim": [3, 1]}',
        '{"span": [1e400, 3]}',
    ],
)
def test_what_was_edited_by_hand_and_is_wrong_is_told(tmp_path, capsys, text):
    """Such a state was taken for kept, such notes and times ended in a traceback."""
    path = images(tmp_path / "one")
    (path / "episode.json").write_text(text)
    with pytest.raises(DatasetError, match=r"episode\.json is no episode's file"):
        read_sidecar(path)
    code, out, _ = run(capsys, "list", path)
    assert code == 1 and "is no episode's file" in out


@needs_datasets
@pytest.mark.parametrize("part", [{"span": (T0 + 4 * SECOND, T0 + 9 * SECOND)}, {"trim": (3.1, 8.0)}])
def test_hands_in_the_countdown_need_not_be_in_the_episode(tmp_path, capsys, part):
    """Both were in view before, and the right alone showed something: nothing was exported, as the left was not seen."""
    there = Demonstration(seconds=8, images=False, there=lambda side, seconds: side == 1 or seconds < 4)
    Sidecar(**part).write(there.write(tmp_path / "one"))
    assert run(capsys, "export", tmp_path / "one", "--out", tmp_path / "out")[0] == 0
    table = rows(tmp_path / "out")
    assert len(table["index"]) >= 146 and not table["hand.valid"][:, 0].any() and table["hand.valid"][:, 1].all()


@needs_datasets
def test_of_an_episode_killed_in_its_countdown_nothing_is_exported(tmp_path, capsys):
    episode = Demonstration(seconds=2, robot=False, images=False).write(tmp_path / "one")
    Sidecar("lift", "recording").write(episode)
    code, _, said = run(capsys, "export", episode, "--out", tmp_path / "out", "--quiet")
    assert code == 2 and "what was to be shown had not begun" in said and "relabel --state kept" in said, said
    assert run(capsys, "relabel", episode, "--state", "kept")[0] == 0
    assert run(capsys, "export", episode, "--out", tmp_path / "out", "--quiet")[0] == 0
    assert json.loads((episode / "episode.json").read_text())["task"] == "lift"
