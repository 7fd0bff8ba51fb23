"""The folder of an export under way, whose work ends anywhere: the next one takes it up, and leaves nothing of it behind."""

import contextlib
import gc
import os

import pytest

from fourdhands_core.episodes.folder import ExportFolder, remove_left
from fourdhands_core.errors import InputError


class Killed(BaseException):
    """In place of `kill -9`."""


def killed_at(step: int, monkeypatch) -> None:
    """Let the call with this number, of those that change folders, not come to pass."""
    left = [step]

    def or_end(function):
        def call(*arguments, **options):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return function(*arguments, **options)

        return call

    for name in ("mkdir", "unlink", "rmdir", "rename"):
        monkeypatch.setattr(os, name, or_end(getattr(os, name)))


def export(out) -> None:
    """What an export does to its folder."""
    with ExportFolder(out) as work:
        work.part("a").mkdir()
        (work.part("a") / "part.json").touch()
        whole = work.begin_whole()
        (whole / "data").touch()
        work.finish(whole)


@pytest.mark.parametrize("step", range(9))
def test_killed_at_any_step_it_can_be_taken_up(step, tmp_path, monkeypatch):
    out = tmp_path / "dataset"
    with monkeypatch.context() as patch:
        killed_at(step, patch)
        with contextlib.suppress(Killed):
            export(out)
    gc.collect()  # gives the lock back, as the end of a process does
    assert not out.exists() or (out / "data").exists()
    remove_left(out)
    with ExportFolder(out) as work:
        assert work.parts.is_dir()
    left = [file.name for file in tmp_path.iterdir()]
    assert left in ([], ["dataset"]) or (tmp_path / "dataset.partial" / "parts" / "a").is_dir()


def test_what_is_somebody_elses_is_left_alone(tmp_path):
    (tmp_path / "dataset.partial" / "parts" / ".mine").mkdir(parents=True)
    with pytest.raises(InputError, match="no unfinished export"), ExportFolder(tmp_path / "dataset"):
        pass
    remove_left(tmp_path / "dataset")
    assert (tmp_path / "dataset.partial" / "parts" / ".mine").is_dir()
