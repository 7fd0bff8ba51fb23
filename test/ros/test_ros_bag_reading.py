"""Reading bags of every storage, whole and cut off anywhere: what comes out is what went in, as far as it goes."""

import shutil
import sqlite3

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="bags need ROS 2 (pip install 'fourdhands[ros]')")

from bag_support import TYPES, contents, image_entry, write_bag
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rclpy.serialization import serialize_message
from ros_support import T0

from fourdhands_core.errors import InputError
from fourdhands_ros.bags.reading import Bag
from fourdhands_ros.bags.topics import TF_MESSAGE, Topic, frame_topics
from fourdhands_ros.tools.camera import camera_info

KINDS = {
    "mcap": ("mcap", "none", 4),
    "mcap, zstd chunks": ("mcap", "storage", 4),
    "mcap, zstd messages": ("mcap", "message", 4),
    "sqlite3": ("sqlite3", "none", 0),
}
ALLOWED = HealthCheck.function_scoped_fixture, HealthCheck.too_slow
TOPICS = {"/cam/image_raw": TYPES["image_raw"], "/cam/camera_info": TYPES["camera_info"]}


def small_entries(count=20, start=0):
    rng = np.random.default_rng(start)
    info = serialize_message(camera_info(32, 24, None, "camera"))
    for i in range(start, start + count):
        time = T0 + i * 10**7
        yield "/cam/camera_info", time, info
        yield image_entry("/cam/image_raw", time, rng.integers(0, 255, (24, 32, 3), dtype=np.uint8), "camera")


def read(path):
    with Bag(path) as bag:
        return list(bag.messages(bag.topics.keys())), bag.warnings


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    """A bag of each kind: its storage file, and what it holds."""
    folder, entries = tmp_path_factory.mktemp("bags"), list(small_entries())
    written = {
        kind: write_bag(folder / kind.replace(", ", "_").replace(" ", "_"), entries, TOPICS, *options)
        for kind, options in KINDS.items()
    }
    return {kind: next(file for file in path.iterdir() if file.suffix != ".yaml") for kind, path in written.items()}, entries


@pytest.mark.parametrize("kind", [*KINDS, "mcap, zstd file"])
def test_a_whole_bag_is_read_as_it_was_written_with_or_without_its_metadata(kind, tmp_path):
    entries = list(small_entries())
    path = write_bag(tmp_path / "bag", entries, TOPICS, *KINDS.get(kind, ("mcap", "file", 4)))
    before = contents(path)
    with Bag(path) as bag:
        assert {name: (topic.type, topic.count) for name, topic in bag.topics.items()} == {
            name: (kind, 20) for name, kind in TOPICS.items()
        }
        assert list(bag.messages(TOPICS)) == entries
        assert [topic for topic, _, _ in bag.messages(["/cam/camera_info"])] == ["/cam/camera_info"] * 20
        assert list(bag.messages([])) == [] and not bag.warnings
    assert contents(path) == before
    (path / "metadata.yaml").unlink()
    assert read(path) == (entries, [])
    assert read(next(path.iterdir())) == (entries, [])


@pytest.mark.parametrize("name", ["dri\udce9ve", "what%41?#", "new\nline"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_bag_is_read_under_any_name(bags, tmp_path, kind, name):
    file, entries = bags[0][kind], bags[1]
    whole = shutil.copy(file, tmp_path / f"{name}{file.suffix}")
    assert read(whole) == (entries, []) and read(tmp_path) == (entries, [])
    with open(whole, "r+b") as cut:
        cut.truncate(file.stat().st_size * 3 // 4)
    plain = shutil.copy(whole, tmp_path.parent / f"cut{file.suffix}")
    assert read(whole)[0] == read(plain)[0] != [] and list(tmp_path.iterdir()) == [tmp_path / whole]


def test_a_split_bag_is_read_in_the_order_of_its_numbers(tmp_path):
    entries = list(small_entries(60))
    for number in range(12):
        part = write_bag(tmp_path / f"part{number}", entries[10 * number : 10 * number + 10], TOPICS)
        (tmp_path / "bag").mkdir(exist_ok=True)
        (part / f"part{number}.mcap").rename(tmp_path / "bag" / f"bag_{number}.mcap")
    assert read(tmp_path / "bag") == (entries, [])
    last = tmp_path / "bag" / "bag_11.mcap"
    last.write_bytes(last.read_bytes()[:-40])  # the one that was written when the power went
    messages, warnings = read(tmp_path / "bag")
    assert messages == entries and len(warnings) == 1 and "bag_11.mcap was cut off" in warnings[0]


def test_files_that_the_metadata_names_and_that_are_not_there_are_told(tmp_path):
    """Of a split bag of which a file was not copied the rest was read without a word."""
    entries = list(small_entries(20))
    bag = write_bag(tmp_path / "bag", entries, TOPICS)
    metadata = bag / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("- bag.mcap", "- bag/bag_0.mcap\n  - bag_1.mcap"))
    (bag / "bag.mcap").rename(bag / "bag_0.mcap")
    messages, (warning,) = read(bag)
    assert messages == entries and warning.startswith(f"bag_1.mcap, which metadata.yaml of {bag} names, is not there")
    metadata.write_text(metadata.read_text().replace("  - bag_1.mcap\n", ""))
    (bag / "bag_0.mcap").rename(bag / "renamed.mcap")
    assert read(bag) == (entries, [])
    for text in ("[", "rosbag2_bagfile_information: 3", "rosbag2_bagfile_information: {relative_file_paths: [1, 2]}"):
        metadata.write_text(text)
        assert read(bag) == (entries, [])


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None, suppress_health_check=ALLOWED)
@given(share=st.floats(0.0, 1.0))
def test_a_bag_cut_anywhere_is_read_as_far_as_it_goes(bags, tmp_path, kind, share):
    file, entries = bags[0][kind], bags[1]
    data = file.read_bytes()
    cut = tmp_path / file.name
    cut.write_bytes(data[: round(share * len(data))])
    try:
        messages, warnings = read(cut)
    except InputError as error:
        assert str(cut) in str(error) and share < 0.4
        return
    assert messages == entries[: len(messages)]
    assert warnings or len(messages) == len(entries)
    if share < 1.0:
        assert not warnings or f"{len(messages)} messages can be read" in warnings[0]
    if kind.startswith("mcap"):  # no more than a chunk of 4 messages, and the summary, is lost
        assert len(messages) >= len(entries) * share * 0.9 - 6


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None, suppress_health_check=ALLOWED)
@given(flips=st.lists(st.tuples(st.floats(0.0, 1.0, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=20))
def test_a_damaged_bag_is_read_or_refused(bags, tmp_path, kind, flips):
    data = bytearray(bags[0][kind].read_bytes())
    for place, value in flips:
        data[int(place * len(data))] = value
    damaged = tmp_path / bags[0][kind].name
    damaged.write_bytes(data)
    try:
        messages, _ = read(damaged)
    except InputError:
        return
    assert all(topic and isinstance(time, int) and isinstance(message, bytes) for topic, time, message in messages)


def test_an_mcap_without_summary_or_index_is_read_in_the_order_of_writing(tmp_path):
    """As `ros2 bag record --storage-preset-profile fastwrite` leaves it, with messages that are not in order of time."""
    from mcap.writer import IndexType, Writer

    entries = [(topic, time + (5 * 10**7 if i % 7 == 3 else 0), data) for i, (topic, time, data) in enumerate(small_entries())]
    with (tmp_path / "fast.mcap").open("wb") as file:
        writer = Writer(
            file,
            index_types=IndexType.NONE,
            use_chunking=False,
            use_statistics=False,
            use_summary_offsets=False,
            repeat_channels=False,
            repeat_schemas=False,
        )
        writer.start("ros2")
        channels = {}
        for topic, kind in TOPICS.items():
            channels[topic] = writer.register_channel(topic, "cdr", writer.register_schema(kind, "ros2msg", b"text"))
        for topic, time, data in entries:
            writer.add_message(channels[topic], time, data, time)
        writer.finish()
    assert read(tmp_path / "fast.mcap") == (entries, [])


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_a_database_with_a_journal_is_read_up_to_its_last_commit(tmp_path, mode):
    """The recorder was ended within a transaction: the journal lies beside the database, and stays there."""
    entries = list(small_entries(40))
    file = write_bag(tmp_path / "bag", entries[:20], TOPICS, "sqlite3") / "bag.db3"
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute(f"PRAGMA journal_mode = {mode}")
    connection.execute("PRAGMA cache_size = 2")  # what does not fit goes into the file before the commit
    insert = "INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)"
    numbers = dict(connection.execute("SELECT name, id FROM topics"))
    for topic, time, data in entries[20:40]:
        connection.execute(insert, (numbers[topic], time, data))
    connection.execute("BEGIN")
    for topic, time, data in entries[40:]:
        connection.execute(insert, (numbers[topic], time, data))
    for part in (tmp_path / "bag").glob("bag.db3*"):
        if not part.name.endswith("-shm"):
            shutil.copyfile(part, crashed / part.name)
    connection.close()
    before = contents(crashed)
    assert set(before) == {"bag.db3", "bag.db3-wal" if mode == "WAL" else "bag.db3-journal"}
    assert read(crashed) == (entries[:40], [])
    assert contents(crashed) == before


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda path: None, "cannot be opened"),
        (lambda path: path.mkdir(), "is an empty folder"),
        (lambda path: path.write_bytes(bytes(range(256))), "is no rosbag2: neither an .mcap or .db3 file nor a folder"),
        (
            lambda path: (path.mkdir(), (path / "cut.mcap").write_bytes(b"\x89MCAP0\r\n\x01")),
            "holds no message that can be read",
        ),
        (lambda path: (path.mkdir(), (path / "cut.db3").write_bytes(b"SQLite format 3\0")), "without the tables of a rosbag2"),
        (
            lambda path: (path.mkdir(), (path / "cut.mcap.zstd").write_bytes(b"\x28\xb5\x2f\xfd")),
            "holds no message that can be read",
        ),
    ],
)
def test_what_is_no_bag_is_named(tmp_path, make, words):
    make(tmp_path / "bag")
    with pytest.raises(InputError, match=words) as caught:
        Bag(tmp_path / "bag")
    assert str(tmp_path / "bag") in str(caught.value)


@pytest.mark.parametrize(
    "there, space",
    [
        (["/tf"], ""),
        (["/tf_static", "/robot1/tf"], ""),
        (["/robot1/tf", "/robot1/tf_static"], "/robot1"),
        (["/cell/robot1/tf_static"], "/cell/robot1"),
        (["/robot1/tf", "/robot2/tf"], ""),  # whose frames may have the same names
        (["/my_tf"], ""),
        ([], ""),
    ],
)
def test_where_a_bag_has_its_frames(there, space):
    topics = {name: Topic(TF_MESSAGE, 1) for name in there} | {"/empty/tf": Topic(TF_MESSAGE), "/other/tf": Topic("other", 1)}
    assert frame_topics(topics) == (f"{space}/tf", f"{space}/tf_static")
