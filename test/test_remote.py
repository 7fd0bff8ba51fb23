"""Places that a URL names: copies of them, folders brought to them whole, and what a user is told."""

from __future__ import annotations

import errno
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

fsspec = pytest.importorskip("fsspec", reason="URLs need it (pip install 'fourdhands[cluster]')")

from fsspec.implementations.local import LocalFileSystem

from fourdhands_core import copies, remote
from fourdhands_core.copies import Brought, Fetched, call_here
from fourdhands_core.errors import DependencyError, InputError
from fourdhands_core.remote import Remote, place

ALL = re.compile("")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of the test's own."""
    monkeypatch.setenv("FOURDHANDS_CACHE", str(tmp_path / "cache"))
    remote._system.cache_clear()
    return tmp_path / "cache"


@pytest.fixture(params=["memory", "local"])
def storage(request, tmp_path) -> Remote:
    """One that takes whole files, and one on which they grow."""
    where = Remote(f"{request.param}://{tmp_path}/storage".replace("memory:///", "memory://"))
    yield where
    where.remove()


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def interrupt() -> None:
    raise KeyboardInterrupt


def found(where: Remote) -> Remote:
    return replace(where, files=tuple(where.find(ALL)))


def test_what_a_text_names(tmp_path):
    assert place("file:///a%20b/c") == Path("/a b/c") and place("bags/a") == Path("bags/a") and place("/") == Path("/")
    assert (
        place("s3://bucket/bags/") == Remote("s3://bucket/bags") and place("https://host/a%20b.mcap?key=1").name == "a b.mcap"
    )
    assert str(place("sftp://me:secret@host/bags?token=1")) == "sftp://me:***@host/bags"
    assert str(place("sftp://me:se@cret@host/bags")) == "sftp://me:***@host/bags"
    assert str(place("sftp://me@host/bags")) == "sftp://me@host/bags"


def test_a_folder_there_and_back(storage, tmp_path, cache):
    write(tmp_path / "out", a="1", b__c="2", last="3")
    assert not storage.holds("last")
    storage.put(tmp_path / "out", ["last"])
    assert storage.holds("last") and (storage / "b" / "c").read_text() == "2"
    assert [file.name for file in storage.find(ALL)] == ["a", "b/c", "last"]

    def read(path: Path, word: str) -> tuple[str, str]:
        assert path.is_relative_to(cache) and path.name == "storage"
        return (path / "b" / "c").read_text(), word

    assert call_here(read, Fetched(found(storage)), "word") == ("2", "word")
    assert not list((cache / "inputs").iterdir())
    storage.remove()
    assert not storage.holds("last")


def test_a_file_that_is_there_while_it_is_read(storage, tmp_path, monkeypatch):
    write(tmp_path / "out", a="1")
    storage.put(tmp_path / "out", [])
    one = found(storage / "a")
    assert [file.name for file in one.files] == [""]
    assert call_here(Path.read_text, Fetched(one)) == "1"
    copied = type(remote._system(storage.url, "")[0]).get_file

    def growing(self, source, *rest):
        copied(self, source, *rest)
        self.pipe_file(source, b"longer")

    monkeypatch.setattr(type(remote._system(storage.url, "")[0]), "get_file", growing)
    with pytest.raises(InputError, match="changed while it was copied"):
        call_here(Path.read_text, Fetched(one))


def test_an_upload_that_is_killed_is_not_taken_for_whole(tmp_path, monkeypatch, cache):
    """Whatever file it is that comes half: none has its name, the folder is not whole, and the next call completes it."""
    storage = Remote(f"local://{tmp_path}/storage")
    names = {"a": "1" * 100, "b": "2" * 100, "last": "3" * 100}
    put_file = LocalFileSystem.put_file
    for fatal in range(3):
        count = 0

        def half(self, local, target, fatal=fatal, **rest):
            nonlocal count
            count += 1
            if count - 1 == fatal:
                Path(target).write_bytes(Path(local).read_bytes()[:50])
                raise KeyboardInterrupt
            put_file(self, local, target, **rest)

        monkeypatch.setattr(LocalFileSystem, "put_file", half)
        with pytest.raises(KeyboardInterrupt), Brought(storage, ("last",), kept=True).here() as here:
            write(here, **names)
        assert not storage.holds("last")
        assert all((tmp_path / "storage" / name).stat().st_size == 100 for name in names if (storage / name).is_file())
        monkeypatch.setattr(LocalFileSystem, "put_file", put_file)
        with Brought(storage, ("last",), kept=True).here() as here:
            assert {file.name: file.read_text() for file in here.iterdir()} == names  # what was made is not made again
        assert storage.holds("last") and {file.name for file in storage.find(ALL)} >= names.keys()
        assert not any((cache / "outputs").iterdir())
        storage.remove()


def test_what_a_killed_upload_of_something_else_left_is_removed(storage, tmp_path, monkeypatch):
    write(tmp_path / "before", a="1", data__two="1", index="1", last="1")
    write(tmp_path / "now", a="2", last="2")
    put_files = Remote._put_files
    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr(Remote, "_put_files", lambda *them: interrupt() if them[2] == ["last"] else put_files(*them))
        storage.put(tmp_path / "before", ["index", "last"], alone=True)
    assert (storage / "index").is_file() and not storage.holds("last")
    storage.put(tmp_path / "now", ["index", "last"], alone=True)
    assert [(file.name, (storage / file.name).read_text()) for file in storage.find(ALL)] == [("a", "2"), ("last", "2")]


def test_what_others_bring_meanwhile(storage, tmp_path):
    write(tmp_path / "mine", a="1", last="1")
    mine = Brought(storage, ("last",), kept=True)
    with pytest.raises(InputError, match="another process brought something"), mine.here() as here:
        shutil.copytree(tmp_path / "mine", here)
        storage.put(tmp_path / "mine", ["last"])
    with pytest.raises(InputError, match="another process writes"), mine.here(), mine.here():
        pass


def test_a_folder_of_somebody_else_is_left_alone(storage, tmp_path):
    write(tmp_path / "mine", a="1")
    storage.put(tmp_path / "mine", [])
    with pytest.raises(InputError, match="is there already and is not what was to be finished"):
        storage.holds("last")


def test_copies_of_killed_processes_are_removed(storage, tmp_path, cache):
    storage.put(write(tmp_path / "out", a="1"), [])
    write(cache / "inputs" / "dead", lock="", bag="x" * 1000)
    call_here(Path.exists, Fetched(found(storage)))
    assert not list((cache / "inputs").iterdir())


def test_a_cache_without_locks_is_used_and_what_may_be_another_processs_stays(storage, tmp_path, cache, monkeypatch):
    """As in a home folder on a cluster's file system."""

    def refuse(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    storage.put(write(tmp_path / "out", a="1"), [])
    write(cache / "inputs" / "other", lock="", bag="x")
    monkeypatch.setattr("fcntl.flock", refuse)
    assert call_here(lambda path: (path / "a").read_text(), Fetched(found(storage))) == "1"
    assert [folder.name for folder in (cache / "inputs").iterdir()] == ["other"]


def test_errors_name_the_place_and_not_its_copy(storage, tmp_path):
    storage.put(write(tmp_path / "out", a="1"), [])

    def refuse(path: Path) -> None:
        raise InputError(f"{path}/a is no bag")

    with pytest.raises(InputError) as caught:
        call_here(refuse, Fetched(found(storage)))
    assert str(caught.value) == f"{storage}/a is no bag"


def test_no_name_on_a_storage_leads_out_of_the_copy(tmp_path):
    for name in ("../../x", "/x", f"{tmp_path}/x"):
        wanted = Remote(f"local://{tmp_path}", (remote.File(name, str(write(tmp_path / "in", a="1") / "a"), ""),))
        with pytest.raises(InputError, match="would come to lie elsewhere"):
            call_here(Path.exists, Fetched(wanted))
    assert not (tmp_path / "x").exists()


def test_what_a_storage_says_is_told_without_passwords(monkeypatch):
    def refuse(path, **_):
        raise OSError("403, url='https://me:secret@host/a?key=secret' is forbidden")

    monkeypatch.setattr(remote._system("memory://x", "")[0], "find", refuse)
    with pytest.raises(InputError, match=r"403, url='https://me:\*\*\*@host/a' is forbidden"):
        Remote("memory://x").find(ALL)


def test_notes_are_of_the_same_bytes(storage, tmp_path):
    storage.put(write(tmp_path / "out", a="1"), [])
    copies.note(found(storage), "options", "text")
    assert copies.note_of(found(storage), "options") == "text" and copies.note_of(found(storage), "others") is None
    storage.put(write(tmp_path / "out", a="12"), [])
    assert copies.note_of(found(storage), "options") is None


def test_sentences(tmp_path, monkeypatch):
    for url, words in (
        ("nosuch://a/b", "Protocol not known"),
        (f"local://{tmp_path}/none", "does not exist, or does not answer"),
    ):
        with pytest.raises(InputError, match=words):
            Remote(url).find(ALL)
    with pytest.raises(InputError, match="nothing can be written by http"):
        Remote("https://127.0.0.1:1/x").check_writable()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be reached"):
        Remote(f"local://{tmp_path}/file/below").check_writable()
    fsspec.register_implementation("bare", "no_such_module.System", errtxt="Install no-such-package to reach it", clobber=True)
    with pytest.raises(DependencyError, match="bare://a cannot be reached: Install no-such-package"):
        Remote("bare://a").find(ALL)
    remote._system.cache_clear()
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(DependencyError, match=r"s3://bucket/bags needs fsspec, .* pip install 'fourdhands\[cluster\]'"):
        Remote("s3://bucket/bags").find(ALL)


def test_two_that_bring_the_same_do_not_write_into_one_file(tmp_path, monkeypatch):
    """As nodes of a cluster may, of which one was taken for lost: whenever the second comes, what is whole stays whole."""
    write(tmp_path / "mine", a="1" * 100, b="2" * 100, last="3" * 100)
    put_file, count = LocalFileSystem.put_file, 0
    for moment in range(3):
        storage = Remote(f"local://{tmp_path}/storage_{moment}")
        count = 0

        def half(self, local, target, moment=moment, storage=storage, **rest):
            nonlocal count
            count += 1
            if count - 1 != moment:
                return put_file(self, local, target, **rest)
            with open(target, "wb") as file:  # the second brings all of it while this file is half there
                file.write(Path(local).read_bytes()[:50])
                file.flush()
                with monkeypatch.context() as whole:
                    whole.setattr(LocalFileSystem, "put_file", put_file)
                    storage.put(tmp_path / "mine", ["last"])
                assert {one.name for one in (tmp_path / storage.name).iterdir() if one.stat().st_size < 100} <= {
                    Path(target).name
                }
                file.write(Path(local).read_bytes()[50:])

        monkeypatch.setattr(LocalFileSystem, "put_file", half)
        storage.put(tmp_path / "mine", ["last"])
        assert {one.name: one.read_text() for one in (tmp_path / storage.name).iterdir()} == {
            "a": "1" * 100,
            "b": "2" * 100,
            "last": "3" * 100,
        }


@pytest.mark.parametrize(
    "text, words",
    [
        ("memory://a/b", "gone at its end"),
        ("simplecache::memory://a", "gone at its end"),
        ("sftp:///x", "lacks what it is an address of; give sftp://HOST/PATH"),
        ("s3://", "lacks what it is an address of"),
        ("file://host/x", "is a file of the host host; give sftp://host/x"),
        ("s3:x", "is not there, and no address, which begins with s3://"),
        ("s3:/x", "is not there, and no address, which begins with s3://"),
    ],
)
def test_addresses_that_name_nothing(text, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words):
        place(text)
    assert place("2026-11-26T13:00/cups") == Path("2026-11-26T13:00/cups")


def test_sentences_name_what_was_given(monkeypatch):
    """Not a file in it of which a user knows nothing, nor what a programmer's error says."""

    class Bare:
        def __getattr__(self, name):
            raise TypeError("missing 1 required positional argument")

    monkeypatch.setattr(remote, "_system", lambda url, words: (Bare(), url))
    for asked in (lambda: Remote("odd://a/cups").holds("meta/x.json"), lambda: Remote("odd://a/cups").check_writable()):
        with pytest.raises(InputError) as caught:
            asked()
        said = str(caught.value)
        assert said.startswith("odd://a/cups cannot be used: what fsspec has for odd://") and "argument" not in said
