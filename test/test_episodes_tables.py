"""Episodes' columns on disk: as numpy writes them, in blocks, and in memory that does not grow with an episode's length."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from fourdhands_core.episodes.actions import action_of
from fourdhands_core.episodes.parts import Writing, write_part
from fourdhands_core.episodes.plain_formats import plain_columns, write_hdf5
from fourdhands_core.episodes.recording import HAND_NUMBERS, HandRows, Recording, Rows, Signal
from fourdhands_core.episodes.recording import Camera as CameraImages
from fourdhands_core.episodes.resampling import BAG, GAP, Cutting, plan, sample
from fourdhands_core.episodes.rows import pair_of_row
from fourdhands_core.episodes.statistics import QUANTILES, of_column
from fourdhands_core.episodes.tables import BLOCK, TableWriter, read_blocks
from fourdhands_core.geometry.camera import Camera


@pytest.mark.parametrize("length", [1, BLOCK, 2 * BLOCK + 7])
def test_a_table_is_what_numpy_writes(tmp_path, length):
    rng = np.random.default_rng(0)
    table = {
        "hand.valid": rng.random((length, 2)) > 0.5,
        "action": rng.normal(size=(length, 102)).astype(np.float32),
        "stamp.row": rng.integers(0, 1 << 60, (length, 1)),
    }
    np.savez(tmp_path / "whole.npz", **table)
    with TableWriter(tmp_path / "blocks.npz") as writer:
        for first in range(0, length, 300):
            writer.add({name: column[first : first + 300] for name, column in table.items()})
        assert all(np.array_equal(writer.column(name), column) for name, column in table.items())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blocks.npz", "whole.npz"]
    with np.load(tmp_path / "blocks.npz") as file:
        assert list(file) == list(table)
        for name, column in table.items():
            np.testing.assert_array_equal(file[name], column)
            assert file[name].dtype == column.dtype
    for name in ("whole", "blocks"):
        found = list(read_blocks(tmp_path / f"{name}.npz"))
        assert len(found) == -(-length // BLOCK)
        for key, column in table.items():
            np.testing.assert_array_equal(np.concatenate([one[key] for one in found]), column)


def test_nothing_is_left_of_a_table_that_fails(tmp_path):
    with pytest.raises(RuntimeError), TableWriter(tmp_path / "table.npz") as writer:
        writer.add({"a": np.zeros((3, 2))})
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_statistics_are_those_of_each_number_by_itself():
    rng = np.random.default_rng(1)
    column, mask = rng.normal(size=(500, 21)).astype(np.float32), rng.random((500, 21)) > 0.3
    mask[:, 4] = False
    found = of_column(column, mask)
    for number in range(21):
        values = column[mask[:, number], number].astype(np.float64)
        expected = [values.min(), values.max(), values.mean(), values.std()] if len(values) else [0.0] * 4
        assert [found[name][number] for name in ("min", "max", "mean", "std")] == pytest.approx(expected)
        for name, share in QUANTILES.items():
            assert found[name][number] == pytest.approx(np.quantile(values, share) if len(values) else 0.0)
        assert found["counts"][number] == len(values)
    assert found["count"] == [500]


def recording(seconds: int, pictures: bool = False) -> Recording:
    """Both hands at 30 Hz, their numbers in a file. pictures: as many of a camera."""
    count, rows = 30 * seconds, Rows(HAND_NUMBERS, np.float32)
    row = np.random.default_rng(0).normal(size=HAND_NUMBERS).astype(np.float32)
    for _ in range(count):
        rows.append(row)
    there = np.ones((count, 2), bool)
    stamp = (np.arange(count) * 1e9 / 30).astype(np.int64)
    cameras = {"observation.images.cam": CameraImages("/cam", stamp, np.arange(count), 32, 32)} if pictures else {}
    return Recording("bag", "camera", HandRows(stamp, there, there, there.astype(float), rows), cameras)


def most_memory(folder, seconds: int, pictures: bool = False) -> int:
    one = recording(seconds, pictures)
    tracemalloc.start()
    try:
        write_part(
            folder,
            one,
            plan(one, Cutting()),
            Writing(action_of("mano102"), Cutting()),
            lambda camera, numbers: (np.zeros((32, 32, 3), np.uint8) for _ in numbers),
            lambda stamp: np.zeros((len(stamp), 4)),
        )
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("pictures", [False, True])
def test_memory_does_not_grow_with_an_episode(tmp_path, pictures):
    """A row is 2.4 kB; of that no more than a few numbers, and what their statistics take, may be in memory."""
    if pictures:
        pytest.importorskip("av", reason="pictures need PyAV (pip install 'fourdhands[dataset]')")
    most_memory(tmp_path / "first", 5, pictures)  # what is imported
    short, long = (most_memory(tmp_path / str(seconds), seconds, pictures) for seconds in (60, 300))
    assert long - short < 120 * 30 * 240, (short, long)  # it is 49 a row, with pictures 61


class Counting:
    """An action that hangs on the one before, as a robot's: how many rows there were."""

    names, sides = ("count",), np.zeros(1, int)

    def numbers(self, hands, first=None):
        return np.arange(len(hands), dtype=np.float32)[:, None] + (0 if first is None else first)


def test_an_action_goes_on_where_rows_are_written_in_blocks(tmp_path):
    one = recording(2 * BLOCK // 30 + 10)
    nobody = lambda stamp: np.zeros((len(stamp), 4))
    write_part(tmp_path / "part", one, plan(one, Cutting()), Writing(Counting(), Cutting()), None, nobody)
    with np.load(tmp_path / "part" / "episode_000000.npz") as file:
        state, action = file["observation.state"].ravel(), file["action"].ravel()
    assert np.array_equal(state, np.arange(len(state))) and np.array_equal(action, state + 1) and len(state) > 2 * BLOCK


def test_memory_of_hdf5_does_not_grow_with_an_episode(tmp_path):
    pytest.importorskip("h5py", reason="HDF5 needs it (pip install 'fourdhands[dataset]')")
    most = []
    for seconds in (60, 300):
        part, whole = tmp_path / f"part_{seconds}", tmp_path / f"whole_{seconds}"
        most_memory(part, seconds)
        whole.mkdir()
        tracemalloc.start()
        write_hdf5(whole, [part], ["bag"], 30, "task")
        most.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert most[1] - most[0] < 1e6, most
    with np.load(part / "episode_000000.npz") as file:
        there = plain_columns(whole / "episode_000000")
        assert list(there) == sorted(file) and all(np.array_equal(there[name], file[name]) for name in there)


def test_a_robots_joints_are_known_on_a_message_beside_a_gap():
    """At its end as at its beginning, and so after the way to a bag and back; within it they are not."""
    stamp = np.array([0, 1, 2, 20, 21, 22], np.int64) * 10_000_000
    signal = Signal(("elbow",), stamp, np.arange(6.0)[:, None])
    values, known = sample(signal, np.insert(stamp, 3, 110_000_000))
    assert known.tolist() == [True] * 3 + [False] + [True] * 3
    np.testing.assert_allclose(values[known, 0], np.arange(6.0))


def test_hands_of_several_cameras_have_no_pixels_in_rows_either():
    """0 in the column is a column's way to say so, not the image's corner."""
    widths = {"mano": 102, "betas": 20, "joints": 126, "joint_confidence": 42, "joints_2d": 84, "confidence": 2}
    table = {f"hand.{name}": np.ones((1, width), np.float32) for name, width in widths.items()}
    table |= {"hand.valid": np.ones((1, 2), bool), "hand.scaled": np.ones((1, 2), bool)}
    table["hand.joints_2d"][:, :42] = 0.0
    pair = pair_of_row(table, 0, 0, Camera.from_fov(640, 480, 60.0))
    assert pair.left.valid and pair.left.joints_2d is None and pair.right.joints_2d.shape == (21, 2)


@pytest.mark.parametrize("split", [GAP, BAG])
@pytest.mark.parametrize("seen", [True, False])
def test_an_episode_ends_where_distances_change_also_while_a_hand_is_not_seen(split, seen):
    """As of the image with which CameraInfo comes at last, where the tracker gives out no hand."""
    one = recording(4)
    one.hands.valid = one.hands.valid.copy()
    one.hands.valid[59] = seen
    one.hands.measure = np.repeat((np.arange(120) >= 60).astype(int)[:, None], 2, axis=1)
    found = plan(one, Cutting(split=split))
    assert len(found.episodes) == 2
    assert "distances are others" in " ".join(part.reason for part in found.left_out)
