import pytest

from cab.proxy.demo.dialects.fields import (
    BadChat,
    list_of,
    objects_in,
    read_object,
    scalar,
    schema_in,
)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"\xff"])
def test_what_is_not_an_object_is_rejected(body: bytes) -> None:
    """A body that is not a JSON object is rejected in words."""
    with pytest.raises(BadChat, match=r"the body is not (valid JSON|a JSON object)"):
        read_object(body)


def test_scalars_have_their_type() -> None:
    """A member has the type asked for, is absent, or is rejected by name; true is not a number."""
    data: dict[str, object] = {"n": 3, "yes": True, "none": None}
    assert (scalar(data, "n", int), scalar(data, "yes", bool)) == (3, True)
    assert scalar(data, "none", str) is None
    assert scalar(data, "absent", str) is None
    with pytest.raises(BadChat, match="yes is not of type int") as caught:
        scalar(data, "yes", int)
    assert caught.value.param == "yes"


def test_lists_are_lists() -> None:
    """A member is a list, absent, or rejected by name."""
    assert list_of({"a": [1]}, "a") == [1]
    assert list_of({"a": None}, "a") == list_of({}, "a") == []
    with pytest.raises(BadChat, match="a is not a list"):
        list_of({"a": {}}, "a")


def test_objects_are_picked_out_of_a_list() -> None:
    """What is not a list holds no objects, and a list only those that it holds."""
    assert objects_in([{"a": 1}, 7, None, [{}], {}]) == [{"a": 1}, {}]
    assert objects_in({"a": 1}) == objects_in(None) == []


def test_a_schema_is_a_member_of_its_form() -> None:
    """A form without a schema, or with an empty one, asks for none."""
    assert schema_in({"schema": {"type": "object"}}) == {"type": "object"}
    assert schema_in({"schema": {}}) is schema_in({}) is schema_in("json") is None
