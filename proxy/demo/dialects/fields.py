"""Reads the fields of a request's JSON, and rejects what an endpoint would reject."""

from typing import NoReturn, TypeGuard, TypeVar

import orjson

from cab.proxy.meter.json_values import JsonObject, as_list, as_object, is_object

Scalar = TypeVar("Scalar", bool, int, str)


class BadChat(Exception):
    """A request that is answered with 400; `param` names the field, `code` is a word for machines."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


def reject(message: str, param: str | None = None) -> NoReturn:
    """Raise the error of a wrong field."""
    raise BadChat(message, param)


def read_object(body: bytes) -> JsonObject:
    """Return the JSON object that a body holds.

    Raises:
        BadChat: It holds none.
    """
    try:
        data: object = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadChat(f"the body is not valid JSON: {error}") from error
    return data if is_object(data) else reject("the body is not a JSON object")


def scalar(data: JsonObject, key: str, kind: type[Scalar]) -> Scalar | None:
    """Return a member of that type, None if it is absent or null."""
    value = data.get(key)
    if value is None:
        return None
    # bool is a kind of int in Python, not in JSON.
    if isinstance(value, kind) and type(value) is kind:
        return value
    return reject(f"{key} is not of type {kind.__name__}", key)


def model_of(data: JsonObject) -> str:
    """Return the member `model`, which must be there."""
    return scalar(data, "model", str) or reject("model is missing", "model")


def list_of(data: JsonObject, key: str) -> list[object]:
    """Return a member that is a list; an empty one if it is absent or null."""
    value = data.get(key)
    if value is None:
        return []
    return value if is_list(value) else reject(f"{key} is not a list", key)


def objects_in(value: object) -> list[JsonObject]:
    """Return the objects in a list; none if it is something else."""
    return [item for item in as_list(value) if is_object(item)]


def schema_in(form: object) -> JsonObject | None:
    """Return the JSON schema that a form of the answer demands, None if it demands none."""
    return as_object(as_object(form).get("schema")) or None


def is_list(value: object) -> TypeGuard[list[object]]:
    """Return whether a parsed JSON value is a list."""
    return isinstance(value, list)
