"""Writes a terminal session as asciicast v2: a header line, then one line for each piece of output."""

import codecs
import re
from pathlib import Path
from typing import NamedTuple

import orjson

from cab.adapters.output.bounded_file import read_back

CAST_BYTES = 16 << 20
"""Limit of a recording; what comes later is not recorded, and a marker says so."""


class Screen(NamedTuple):
    """Size of the terminal."""

    width: int
    height: int


SCREEN = Screen(120, 40)
"""What agents get, and what players show."""

_FILE_BYTES = 8  # of the file for a byte of text, at most: control characters are escaped
_HEADER_BYTES = 1 << 16

_LONE_NEWLINE = re.compile(r"(?<!\r)\n")


class CastWriter:
    """A recording that is being written.

    Args:
        path: The file; made anew.
        title: What is recorded.
        timestamp_s: When it began, in seconds since 1970.
        term: TERM of the agent.
        limit_bytes: Size after which nothing is recorded any more.
    """

    def __init__(
        self,
        path: Path,
        *,
        title: str,
        timestamp_s: int,
        term: str,
        limit_bytes: int = CAST_BYTES,
    ) -> None:
        self._file = path.open("w+b")
        self._most_bytes = _FILE_BYTES * limit_bytes + _HEADER_BYTES
        self.content = b""
        """The recording, once it is closed."""
        self._left_bytes = limit_bytes
        self._cut = False
        self._write(
            {
                "version": 2,
                "width": SCREEN.width,
                "height": SCREEN.height,
                "timestamp": timestamp_s,
                "title": title,
                "env": {"SHELL": "/bin/sh", "TERM": term},
            }
        )

    def output(self, at_s: float, text: str) -> None:
        """Record what was printed, `at_s` seconds after the beginning."""
        if not text or self._cut:
            return
        if len(text) > self._left_bytes:
            self._cut = True
            self._write([round(at_s, 6), "m", "cab: the recording is cut here"])
            return
        self._left_bytes -= len(text)
        self._write([round(at_s, 6), "o", text])

    def close(self) -> None:
        """Finish the file."""
        self.content = read_back(self._file, self._most_bytes)
        self._file.close()

    def _write(self, line: object) -> None:
        self._file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))


class TerminalText:
    """Turns the bytes of one stream, in pieces, into what a terminal would get."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._before = ""

    def feed(self, data: bytes, *, last: bool = False) -> str:
        """Return the text of a piece; a character that is split waits for its rest."""
        text = self._decoder.decode(data, final=last)
        # A line feed alone moves a terminal down a line, in the same column.
        with_returns = _LONE_NEWLINE.sub("\r\n", self._before + text)[len(self._before) :]
        self._before = "\r" if text.endswith("\r") else "" if text else self._before
        return with_returns
