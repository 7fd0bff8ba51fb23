"""A wrong stamp costs its own message, wherever it is and whatever it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourdhands_core.episodes.order import _most_rising, hidden, in_order

PERIOD = 33_333_333
T0 = 1_700_000_000 * 10**9


def stamps(count: int) -> np.ndarray:
    return T0 + PERIOD * np.arange(count, dtype=np.int64)


@given(st.integers(0, 49), st.integers(-(10**9), 10**9) | st.sampled_from([-T0, 3600 * 10**9, 2 * 10**18]))
def test_one_wrong_stamp_costs_one_message(at, wrong):
    truth = stamps(50)
    said = truth.copy()
    said[at] += wrong
    kept = in_order(said, truth)
    assert len(kept) >= 49 and (np.diff(said[kept]) > 0).all()
    if abs(wrong) > 10_000_000_000 or (2 * PERIOD <= abs(wrong) and 0 < at < 48):
        assert kept.tolist() == [*range(at), *range(at + 1, 50)]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=12))
def test_no_choice_keeps_more(values):
    """Against all choices that there are; of equally many the earliest."""
    rising = [[]]
    for index, value in enumerate(values):
        rising += [[*one, index] for one in rising if not one or values[one[-1]] < value]
    most = max(map(len, rising))
    assert _most_rising(values).tolist() == min(one for one in rising if len(one) == most)


def test_of_a_clock_that_is_set_back_the_time_is_told_that_stamps_do_not_show():
    said = np.concatenate([stamps(61), stamps(90)[31:]])
    kept = in_order(said, stamps(len(said)))
    assert len(kept) == 90 and kept[60] == 60 and kept[61] == 91
    assert hidden(said, kept)[61] == 29 * PERIOD and np.count_nonzero(hidden(said, kept)) == 1
    ahead = stamps(20)
    ahead[10:12] += 10**12  # whose neighbours' stamps show the time
    assert not hidden(ahead, in_order(ahead, stamps(20))).any()


@pytest.mark.parametrize("lost", [[], [32], [45], [33, 50, 75]])
def test_of_what_a_clock_showed_twice_the_first_is_used_whatever_was_lost(lost):
    """Else hands of the first time would have images of the second."""
    time = np.delete(stamps(120), lost)
    said = time - np.where(time > T0 + 60 * PERIOD, 30 * PERIOD, 0)
    kept = in_order(said, time)
    assert said[kept][(said < time)[kept]][0] == T0 + 61 * PERIOD
    assert hidden(said, kept).max() == 29 * PERIOD
