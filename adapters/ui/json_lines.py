"""JSON for programs, on standard output."""

import sys
from re import Match

import orjson

from cab.scoring.printable import UNSEEN


def print_json(*objects: object) -> None:
    """Print each object as one line of JSON: dicts, dataclasses, or lists of them.

    What steers a terminal, or is not seen there, is written as JSON's escapes: the value is the same.
    """
    sys.stdout.flush()
    sys.stdout.buffer.writelines(_seen(orjson.dumps(each)) + b"\n" for each in objects)
    sys.stdout.buffer.flush()


def _seen(line: bytes) -> bytes:
    if line.isascii():
        return line.replace(b"\x7f", b"\\u007f")
    return UNSEEN.sub(_escaped, line.decode()).encode()


def _escaped(match: Match[str]) -> str:
    units = match[0].encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
