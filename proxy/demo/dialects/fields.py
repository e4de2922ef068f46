"""Reads the fields of a request's JSON, and refuses what an endpoint would refuse."""

from typing import Any, NoReturn, TypeGuard, TypeVar

import orjson

Scalar = TypeVar("Scalar", bool, int, str)


class BadChat(Exception):
    """A request that is answered with 400; `param` names the field."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


def read_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object that a body holds.

    Raises:
        BadChat: It holds none.
    """
    try:
        data: object = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadChat(f"the body is no JSON: {error}") from error
    return data if is_object(data) else refuse("the body is no JSON object")


def scalar(data: dict[str, Any], key: str, kind: type[Scalar]) -> Scalar | None:
    """Return a member of that type, None if it is absent or null."""
    value = data.get(key)
    # bool is a kind of int in Python, not in JSON.
    if value is None or type(value) is kind:
        return value
    return refuse(f"{key} is no {kind.__name__}", key)


def list_of(data: dict[str, Any], key: str) -> list[Any]:
    """Return a member that is a list; an empty one if it is absent or null."""
    value = data.get(key)
    if value is None:
        return []
    return value if is_list(value) else refuse(f"{key} is no list", key)


def messages_in(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the member `messages`: one object with a role at least, and nothing else."""
    messages = list_of(data, "messages") or refuse("messages is missing or empty", "messages")
    for number, message in enumerate(messages):
        if not is_object(message) or not isinstance(message.get("role"), str):
            refuse("every message is an object with a role", f"messages[{number}]")
    return messages


def refuse(message: str, param: str | None = None) -> NoReturn:
    """Refuse the request because of a field."""
    raise BadChat(message, param)


def object_of(value: object) -> dict[str, Any]:
    """Return a parsed JSON value that is an object; an empty one for anything else."""
    return value if is_object(value) else {}


def items_of(value: object) -> list[Any]:
    """Return a parsed JSON value that is a list; an empty one for anything else."""
    return value if is_list(value) else []


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a parsed JSON value is an object; its names are strings then."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Return whether a parsed JSON value is a list."""
    return isinstance(value, list)
