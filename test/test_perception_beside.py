"""Work that is done beside other work."""

import multiprocessing
import subprocess
import sys
import threading

import pytest

from fourdhands_core.perception import beside
from fourdhands_core.perception.beside import Beside


@pytest.fixture(params=[1, 2, 4])
def cores(request, monkeypatch):
    """So many cores."""
    for each in (beside._pool, beside._cores):
        each.cache_clear()
    monkeypatch.setattr(beside.os, "sched_getaffinity", lambda _: range(request.param))
    yield request.param
    for each in (beside._pool, beside._cores):
        each.cache_clear()


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


def _in_another_thread() -> bool:
    begun = threading.Event()
    work = Beside(lambda: begun.set() or threading.current_thread())
    begun.wait(30.0)
    return work.result() is not threading.current_thread()


@pytest.mark.parametrize("cores", [2], indirect=True)
def test_where_every_core_has_an_image_of_its_own_nothing_is_done_beside(cores):
    go_on, there = threading.Event(), threading.Event()

    def other():
        with beside.working():
            there.set()
            go_on.wait(30.0)

    with beside.working():
        assert _in_another_thread()
        thread = threading.Thread(target=other)
        thread.start()
        there.wait(30.0)
        assert Beside(threading.current_thread).result() is threading.current_thread()
        go_on.set()
        thread.join()
        assert _in_another_thread()


@pytest.mark.parametrize("cores", [2], indirect=True)
def test_a_forked_process_has_threads_of_its_own(cores):
    assert _in_another_thread()  # so that there is one that the fork does not copy
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(_in_another_thread).get(timeout=60.0)


def test_a_thread_goes_on_after_the_main_one_has_ended():
    program = """
import threading
from fourdhands_core.perception import beside
beside.os.sched_getaffinity = lambda _: range(2)
def work():
    threading.main_thread().join()
    print(beside.Beside(pow, 3, 2).result())
beside.Beside(pow, 2, 2).result()
threading.Thread(target=work).start()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "9\n" and not done.stderr
