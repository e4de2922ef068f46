"""JSON for programs, on standard output."""

import sys

import orjson


def print_json(*objects: object) -> None:
    """Print each object as one line of JSON: dicts, dataclasses, or lists of them."""
    sys.stdout.flush()
    sys.stdout.buffer.writelines(
        orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in objects
    )
    sys.stdout.buffer.flush()
