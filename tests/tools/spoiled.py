"""Hypothesis strategies that spoil good data: a byte here, a value there, or the framing."""

import copy
import itertools
import json
from typing import Any

from hypothesis import strategies as st

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(2**62, 2**70)
    | st.floats()
    | st.text(max_size=9)
    | st.text(st.characters(categories=["Cs", "Cc", "Lo"]), max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
"""Any JSON value as Python's own writer spells it: half surrogates, NaN and huge numbers too."""


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


@st.composite
def spoiled_bytes(draw: st.DrawFn, good: bytes) -> bytes:
    """Draw bytes that differ from good ones in one to four places."""
    data = bytearray(good)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        removed = draw(st.sampled_from([0, 0, 1, 1, 2, 9]))
        data[at : at + removed] = draw(
            st.binary(max_size=3)
            | st.sampled_from([b"\r", b"\n", b"\r\n", b"\0", b"0", b"f", b":"])
        )
    return bytes(data)


@st.composite
def spoiled_json(draw: st.DrawFn, good: Any) -> Any:
    """Draw a JSON value that differs from a good one in one to three members."""
    value = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(value))
        if not places:
            return draw(JSON)
        holder, key = draw(st.sampled_from(places))
        holder[key] = draw(JSON)
    return value


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return every member of a JSON value, as what holds it and where."""
    holder: Any = value
    if not isinstance(value, (dict, list)):
        return []
    keys: list[Any] = list(holder) if isinstance(value, dict) else list(range(len(holder)))
    return [place for key in keys for place in [(holder, key), *_places(holder[key])]]


@st.composite
def sliced(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """Draw a slicing of data into pieces, none of them empty."""
    cuts = draw(st.lists(st.integers(0, len(data)), max_size=6))
    edges = sorted({0, len(data), *cuts})
    return [data[start:end] for start, end in itertools.pairwise(edges)]
