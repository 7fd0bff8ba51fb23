"""What all kinds of inputs are made with: numbers and texts that break things, and bytes that are mutated."""

from __future__ import annotations

import struct

from hypothesis import strategies as st

NUMBERS = st.one_of(st.integers(-3, 70), st.sampled_from([2**7, 2**8, 2**15, 2**16, 2**24, 2**31 - 1, 2**31, 2**32 - 1]))
FLOATS = st.one_of(st.floats(), st.sampled_from([0.0, 1.0, -1.0, 60.0, 500.0, 1e-300, 1e300, float("nan"), float("inf")]))
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=10) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=12,
)


def unsigned(number: int) -> int:
    return number % 2**32


def one_of(draw, seeds) -> bytes:
    """One of them by its number: hypothesis would put all their bytes into its messages."""
    return seeds[draw(st.integers(0, len(seeds) - 1))]


class Input(bytes):
    """Bytes that do not fill the screen."""

    def __repr__(self) -> str:
        return f"{len(self)} bytes"


@st.composite
def mutated(draw, seeds, most=6) -> bytes:
    """One of the seeds with bytes changed, cut, put in, left out or moved; the more likely near its ends."""
    data = bytearray(one_of(draw, seeds))
    for _ in range(draw(st.integers(0, most))):
        last = max(len(data) - 1, 0)
        place = draw(st.one_of(st.integers(0, min(last, 255)), st.integers(0, last), st.integers(max(last - 255, 0), last)))
        kind = draw(st.sampled_from(["flip", "number", "cut", "insert", "leave out", "move"]))
        if kind == "flip":
            data[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
        elif kind == "number":
            number = unsigned(draw(NUMBERS))
            data[place : place + 4] = struct.pack(draw(st.sampled_from(["<I", ">I"])), number)
        elif kind == "cut":
            del data[place:]
        elif kind == "insert":
            data[place:place] = draw(st.binary(max_size=40))
        else:
            size = draw(st.integers(1, 64))
            part = bytes(data[place : place + size])
            del data[place : place + size]
            if kind == "move":
                other = draw(st.integers(0, len(data)))
                data[other:other] = part
    return bytes(data)


def or_anything(strategy):
    return st.one_of(strategy, strategy, strategy, st.binary(max_size=200))
