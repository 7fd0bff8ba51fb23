"""How files are written: whole or not at all, by several processes at once, into devices and pipes, and after kill -9."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from limits_support import limited
from program_support import ended

from fourdhands_core import signals
from fourdhands_core.errors import InputError
from fourdhands_core.learning.synthesis.write import synthesise
from fourdhands_core.network.checkpoint import load_weights, save_weights
from fourdhands_core.outputs import WorkFolder, check_outputs, make_folder, write_text, writing, writing_folder
from fourdhands_core.retargeting.operator_range import OperatorRange
from fourdhands_core.runtime import parts


def test_devices_are_written_and_links_followed(tmp_path):
    check_outputs(["/dev/null", tmp_path / "new"])
    write_text("/dev/null", "gone")
    assert Path("/dev/null").is_char_device()
    (tmp_path / "link").symlink_to("real")
    write_text(tmp_path / "link", "text")
    assert (tmp_path / "real").read_text() == "text" and (tmp_path / "link").is_symlink()


def test_a_device_is_written_where_no_file_can_be_made_beside_it(monkeypatch):
    """As in /dev, for whoever is not root."""

    def refuse(dir):
        raise PermissionError(13, "Permission denied", dir)

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    check_outputs(["/dev/null"])


def test_what_reads_from_the_program_gets_what_is_written_to_its_output():
    """`--out /dev/stdout | less`: the name that the link leads to is of nothing, which was told after the work."""
    code = "from fourdhands_core.outputs import check_outputs, write_text\nfor out in ('/dev/stdout', '/dev/fd/1'):\n"
    done = ended([sys.executable, "-c", code + "    check_outputs([out]); write_text(out, 'text\\n')"])
    assert done.stdout == "text\ntext\n", done.stderr


def test_a_file_system_without_locks_is_written_to(tmp_path, monkeypatch):
    """As of a cluster, or over a network; whose work what lies there is cannot be known then, and it stays."""

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    (tmp_path / ".fourdhands-partial-a").mkdir()
    monkeypatch.setattr("fcntl.flock", refuse)
    write_text(tmp_path / "a.txt", "text")
    with writing_folder(tmp_path) as partial:
        (partial / "b.txt").write_text("text")
    assert sorted(os.listdir(tmp_path)) == [".fourdhands-partial-a", "a.txt", "b.txt"]


def test_work_goes_on_where_there_are_no_locks_and_that_is_said(tmp_path, monkeypatch, caplog):
    """`fourdhands bag` and `episodes export` refused such a file system."""

    def refuse(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    for finished in (False, True):
        with WorkFolder(tmp_path / "out") as work:
            (work.folder / "part").write_text("text")
            if finished:
                work.remove()
    assert caplog.text.count(f"the file system of {tmp_path} has no locks") == 2 and not list(tmp_path.iterdir())


def test_a_folder_that_another_process_removes_as_it_is_made(tmp_path, monkeypatch):
    """Two that write in one folder at the same moment: of tens at once some had failed with "File exists"."""
    make, removed = os.mkdir, []

    def remove(path, mode=0o777):
        if not removed:
            removed.append(path)
            raise FileExistsError(errno.EEXIST, "File exists", path)  # and gone when it is looked at
        make(path, mode)

    monkeypatch.setattr("os.mkdir", remove)
    assert make_folder(tmp_path / "a").is_dir() and removed
    (tmp_path / "gone").symlink_to("nowhere")
    with pytest.raises(InputError, match="cannot be made .File exists."):
        make_folder(tmp_path / "gone")


def test_nothing_is_lost_of_a_file_called_as_the_lock(tmp_path):
    """A link under a hidden folder's name, as anybody may set in /tmp."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/lock").write_text("text")
    (tmp_path / ".fourdhands-partial-a").symlink_to("mine")
    write_text(tmp_path / "a.txt", "text")
    assert (tmp_path / "mine/lock").read_text() == "text"


@pytest.mark.parametrize("error, words", [(OSError(28, "No space left on device"), "make room"), (OSError(13, "No"), "choose")])
def test_what_fails_leaves_what_was_there(tmp_path, error, words):
    (tmp_path / "a.txt").write_text("before")
    with pytest.raises(InputError, match=f"a.txt cannot be written .*{words}"):
        with writing(tmp_path / "a.txt") as partial:
            partial.write_text("half")
            raise error
    with pytest.raises(KeyError), writing_folder(tmp_path / "b") as partial:
        (partial / "c").write_text("half")
        raise KeyError
    assert (tmp_path / "a.txt").read_text() == "before"
    assert [path.name for path in sorted(tmp_path.rglob("*"))] == ["a.txt", "b"]


def test_two_that_write_one_file_at_once_share_nothing(tmp_path):
    """Each file appears as it was written; the one that ends last stays."""
    with writing(tmp_path / "a.txt") as first:
        first.write_text("first")
        with writing(tmp_path / "a.txt") as second:
            second.write_text("second")
        assert (tmp_path / "a.txt").read_text() == "second"
    assert (tmp_path / "a.txt").read_text() == "first" and os.listdir(tmp_path) == ["a.txt"]


KILLED = """
import os, signal, sys
from fourdhands_core.outputs import writing, writing_folder
with (writing if sys.argv[1] == "file" else writing_folder)(sys.argv[2]) as partial:
    (partial if sys.argv[1] == "file" else partial / "c").write_text("half")
    print("there", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_process_left_goes_and_what_another_writes_stays(tmp_path, kind):
    """A long video's overlay, of every run that was killed, stayed in hidden folders; and `track` removed those of a run
    beside it."""
    place = tmp_path / "a.txt" if kind == "file" else tmp_path
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", KILLED, kind, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    assert [writer.stdout.readline() for writer in writers] == ["there\n"] * 2
    writers[0].kill()
    writers[0].communicate()
    assert len(os.listdir(tmp_path)) == 2
    write_text(tmp_path / "b.txt", "text")
    assert len(os.listdir(tmp_path)) == 2 and (tmp_path / "b.txt").is_file()
    writers[1].communicate()
    assert writers[1].returncode == 0
    assert sorted(os.listdir(tmp_path)) == ["a.txt" if kind == "file" else "b.txt", "b.txt" if kind == "file" else "c"]


def test_a_signal_while_a_library_writes_is_no_error_of_that(tmp_path):
    """torch makes a RuntimeError of it, which was a traceback."""

    class Interrupted:
        writes = 0

        def write(self, data):
            self.writes += 1
            if self.writes == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            return len(data)

        def flush(self):
            pass

    with pytest.raises(signals.Asked) as asked, signals.running():
        with writing(tmp_path / "state.pt"):
            torch.save({"a": torch.zeros(1 << 18)}, Interrupted())
    assert asked.value.number == signal.SIGTERM and not list(tmp_path.iterdir())


def test_weights_go_where_their_name_leads(tmp_path):
    """Into a pipe or a device, which became a file, as /dev/null would have for root; and to what a link leads to."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("w.safetensors")
    network = load_weights()
    save_weights(network, tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and not (tmp_path / "w.safetensors").is_symlink()
    with (tmp_path / "read").open("wb") as out, subprocess.Popen(["cat", tmp_path / "pipe"], stdout=out) as reader:
        save_weights(network, tmp_path / "pipe")
        assert reader.wait(timeout=60) == 0
    assert (tmp_path / "pipe").is_fifo() and (tmp_path / "read").read_bytes() == (tmp_path / "w.safetensors").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe", "read", "w.safetensors"]


def test_an_export_that_fails_leaves_nothing(tmp_path, monkeypatch):
    import onnx

    def fail(model, path, **options):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(onnx, "save", fail)
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: SimpleNamespace(model_proto=onnx.ModelProto()))
    with pytest.raises(InputError, match="out cannot be written .No space left"):
        parts.export_onnx(load_weights(), tmp_path / "out")
    assert not any((tmp_path / "out").iterdir())


def test_a_range_that_cannot_be_written_leaves_the_one_before(tmp_path):
    """The disk has room for a part of it."""
    path = tmp_path / "me.yaml"
    OperatorRange.exact().write(path)
    before = path.read_text()
    code = f"from {OperatorRange.__module__} import OperatorRange; OperatorRange().write({str(path)!r})"
    done = ended(limited(100, "-c", code))
    assert done.returncode and "InputError" in done.stderr and "make room" in done.stderr, done.stderr
    assert path.read_text() == before and os.listdir(tmp_path) == ["me.yaml"]


def test_a_dataset_that_is_interrupted_leaves_nothing(tmp_path):
    def interrupted(numbers):
        yield 0
        assert len(list(tmp_path.rglob("*.jpg"))) == 2
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesise(tmp_path / "out", 2, frames=2, progress=interrupted)
    assert not any((tmp_path / "out").iterdir())
    synthesise(tmp_path / "out", 1, frames=2)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"annotations.npz", "images"}
