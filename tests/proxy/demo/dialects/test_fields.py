from typing import Any

import pytest

from cab.proxy.demo.dialects.fields import (
    BadChat,
    items_of,
    list_of,
    messages_in,
    object_of,
    read_object,
    scalar,
)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"\xff"])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    """A body that is no JSON object is refused in words."""
    with pytest.raises(BadChat, match="the body is no JSON"):
        read_object(body)


def test_scalars_have_their_type() -> None:
    """A member has the type asked for, is absent, or is refused by name; true is no number."""
    data = {"n": 3, "yes": True, "none": None}
    assert (scalar(data, "n", int), scalar(data, "yes", bool)) == (3, True)
    assert scalar(data, "none", str) is None
    assert scalar(data, "absent", str) is None
    with pytest.raises(BadChat, match="yes is no int") as caught:
        scalar(data, "yes", int)
    assert caught.value.param == "yes"


def test_lists_are_lists() -> None:
    """A member is a list, absent, or refused by name."""
    assert list_of({"a": [1]}, "a") == [1]
    assert list_of({"a": None}, "a") == list_of({}, "a") == []
    with pytest.raises(BadChat, match="a is no list"):
        list_of({"a": {}}, "a")


@pytest.mark.parametrize(
    ("messages", "param"),
    [([], "messages"), (["hi"], "messages[0]"), ([{"role": "user"}, {}], "messages[1]")],
)
def test_messages_have_roles(messages: list[Any], param: str) -> None:
    """There is one message at least, and each is an object with a role."""
    with pytest.raises(BadChat) as caught:
        messages_in({"messages": messages})
    assert caught.value.param == param


def test_other_values_are_empty() -> None:
    """What is no object or no list counts as an empty one."""
    assert object_of({"a": 1}) == {"a": 1}
    assert items_of([1]) == [1]
    assert object_of([1]) == {}
    assert items_of({"a": 1}) == []
