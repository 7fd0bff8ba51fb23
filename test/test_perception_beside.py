"""Work that is done beside other work."""

import threading

import pytest

from fourdhands_core.perception import beside
from fourdhands_core.perception.beside import Beside


@pytest.fixture(params=[1, 2, 4])
def cores(request, monkeypatch):
    """So many cores."""
    beside._pool.cache_clear()
    monkeypatch.setattr(beside.os, "sched_getaffinity", lambda _: range(request.param))
    yield request.param
    beside._pool.cache_clear()


def test_results_and_errors_are_the_calls(cores):
    assert [each.result() for each in [Beside(pow, k, 2) for k in range(9)]] == [k * k for k in range(9)]
    wrong = Beside(int, "three")
    with pytest.raises(ValueError, match="three"):
        wrong.result()
    thread = Beside(threading.current_thread, at_once=False)
    assert thread.result() is threading.current_thread()


def test_what_no_thread_has_begun_is_done_by_who_waits_for_it(cores):
    go_on = threading.Event()
    waiting = [Beside(go_on.wait, 30.0) for _ in range(cores - 1)]
    own = Beside(threading.current_thread)  # all others are busy
    assert own.result() is threading.current_thread()
    go_on.set()
    assert all(each.result() for each in waiting)
