"""Logs of the proxy: secrets are redacted before any handler sees a line.

Lines go through Python's `logging`, below `cab`: whoever runs a proxy inside a program of their own
decides what becomes of them. The commands write them to standard error (`configure_logs`): for people
on a terminal, JSON lines in a pipe.

What libraries log may hold a key too, in the text of an error for example. The loggers of those that
serve a proxy are redacted in every program; all other loggers only where `StderrHandler` writes them,
as a program's own lines are its own.
"""

import asyncio
import contextlib
import logging
import math
import os
import select
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Literal, NamedTuple

import orjson

from cab.proxy.redaction import Redactor
from cab.scoring.printable import printable
from cab.scoring.timestamps import rfc3339

LogFormat = Literal["auto", "console", "json"]

_LOGGER = logging.getLogger("cab.proxy")
SILENT = logging.getLogger("cab.proxy.http")
"""For aiohttp's servers: our records say all they would, and a bad request may hold a key."""
SILENT.disabled = True
_LIBRARIES = (
    "asyncio",
    *(f"aiohttp.{name}" for name in ("client", "internal", "server", "web", "websocket", "access")),
)
_RUNNING: list[Callable[[], Iterable[Redactor]]] = []
"""For each proxy of this process: gives what redacts its secrets and those of its calls in flight."""
_ENDED: deque[Redactor] = deque(maxlen=64)
"""Redact what the last proxies held: a traceback may be logged after their end."""
_WINDOW_CHARS = 1 << 16
"""Of a longer value only so much is logged; tracebacks are long."""
_MOST_KINDS = 1024
"""How many kinds of lines are remembered to find repeated ones."""


class LogEvent(NamedTuple):
    """One line of the log: its name, and values without secrets."""

    name: str
    values: Mapping[str, Any]

    def __str__(self) -> str:
        return " ".join([self.name, *(f"{name}={value}" for name, value in self.values.items())])


class _Record(logging.LogRecord):
    """A record of a line; the constructor of its base takes as long as writing the line.

    Args:
        level: Its level.
        line: The line.
    """

    _ALIKE = logging.LogRecord(_LOGGER.name, 0, __file__, 0, "", None, None).__dict__
    _BEGAN_S = _ALIKE["created"] - _ALIKE["relativeCreated"] / 1000

    def __init__(self, level: int, line: LogEvent) -> None:  # pyright: ignore[reportMissingSuperCall]
        now_s, thread = time.time(), threading.current_thread()
        self.__dict__ |= self._ALIKE
        self.levelno, self.levelname, self.msg = level, logging.getLevelName(level), line
        self.created, self.msecs = now_s, int(now_s % 1 * 1000) + 0.0
        self.relativeCreated = (now_s - self._BEGAN_S) * 1000
        self.process, self.thread, self.threadName = os.getpid(), thread.ident, thread.name


def logs_what_is_usual() -> bool:
    """Return whether a line of `RedactingLogger.info` would be written anywhere."""
    return _LOGGER.isEnabledFor(logging.INFO)


class RedactingLogger:
    """Logs for one proxy, or for one of its calls.

    Args:
        redactor: Takes out of each line what that proxy or call knows to be secret.
    """

    def __init__(self, redactor: Redactor | None = None) -> None:
        self._redactor = redactor or Redactor()

    def info(self, event: str, **values: object) -> None:
        """Log what is usual."""
        self._log(logging.INFO, event, values)

    def record(self, event: str, values: Mapping[str, object]) -> None:
        """Log what is usual, of a record: its texts hold no secrets any more."""
        self._write(logging.INFO, event, values)

    def warning(self, event: str, **values: object) -> None:
        """Log what somebody may want to look at."""
        self._log(logging.WARNING, event, values)

    def error(self, event: str, **values: object) -> None:
        """Log what somebody has to look at."""
        self._log(logging.ERROR, event, values)

    def exception(self, event: str, **values: object) -> None:
        """Log an error with the traceback of the exception that is being handled."""
        self.error(event, **values, exception=traceback.format_exc().rstrip())

    def _log(self, level: int, event: str, values: Mapping[str, object]) -> None:
        if _LOGGER.isEnabledFor(level):
            self._write(level, event, {n: self._redacted(each) for n, each in values.items()})

    @staticmethod
    def _write(level: int, event: str, values: Mapping[str, object]) -> None:
        # Not `_LOGGER.log`: it looks for the caller's line, and that takes longer than all else.
        _LOGGER.handle(_Record(level, LogEvent(event, values)))

    def _redacted(self, value: object) -> object:
        if value is None or isinstance(value, int | float):
            return value
        return self._redactor.value(
            value if isinstance(value, str | dict | list) else str(value), _WINDOW_CHARS
        )


class Repeats:
    """Thins out lines of a log that say the same again and again.

    Args:
        most: How many lines of a kind are logged in a while.
        every_s: How long that while is, in seconds.
        now_s: The time, in seconds.
    """

    def __init__(
        self, most: int, every_s: float = 10.0, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._every_s = every_s
        self._now_s = now_s
        self._seen: dict[Hashable, tuple[float, int]] = {}
        """Kinds, since when their lines are counted, and how many there were."""

    def left_out(self, kind: Hashable) -> int | None:
        """Return how many lines of a kind were left out before this one; None: this one is, too."""
        now_s = self._now_s()
        since_s, count = self._seen.get(kind, (-math.inf, 0))
        if now_s - since_s < self._every_s:
            self._seen[kind] = since_s, count + 1
            return 0 if count < self._most else None
        if len(self._seen) >= _MOST_KINDS:
            fresh = {k: v for k, v in self._seen.items() if now_s - v[0] < self._every_s}
            self._seen = fresh if len(fresh) < _MOST_KINDS else {}
        self._seen[kind] = now_s, 1
        return max(0, count - self._most)


class ThinnedLog:
    """Warnings of which only some of each kind are written in a while, whoever causes how many.

    At the end of that while a line says how many were left out.

    Args:
        most: How many lines of a kind are written in a while.
        every_s: How long that while is, in seconds.
    """

    def __init__(self, most: int = 20, every_s: float = 10.0) -> None:
        self._repeats = Repeats(most, every_s)
        self._every_s = every_s
        self._left_out: dict[tuple[str, str], int] = {}
        """Lines of each kind that nobody was told of."""

    def warning(
        self, log: RedactingLogger, event: str, kind: str, values: Mapping[str, object]
    ) -> None:
        """Log what somebody may want to look at.

        Args:
            log: Redacts the line.
            event: Its name.
            kind: What it has in common with others of that name, from few texts; a value of it too.
            values: All others.
        """
        of = event, kind
        if self._repeats.left_out(of) is not None:
            log.warning(event, kind=kind, **values)
            return
        if of not in self._left_out:
            asyncio.get_running_loop().call_later(self._every_s, self._say, of)
        self._left_out[of] = self._left_out.get(of, 0) + 1

    def close(self) -> None:
        """Say what was left out and not said yet."""
        for of in list(self._left_out):
            self._say(of)

    def _say(self, of: tuple[str, str]) -> None:
        if lines := self._left_out.pop(of, 0):
            RedactingLogger().warning("lines_left_out", event_name=of[0], kind=of[1], lines=lines)


class StderrHandler(logging.Handler):
    """Writes lines to standard error; if that fails, as on a full disk, it costs no call.

    Of lines that are alike it writes twenty in ten seconds, and then how many were left out. Lines of what is
    usual are written together at the end of a turn of the event loop: none stands before an earlier one, and
    only a process that is killed loses those of its last turn.

    Args:
        console: Write for people; else one JSON object a line.
    """

    def __init__(self, *, console: bool) -> None:
        super().__init__()
        self._stream = sys.stderr
        self.console = console
        """Whether lines are for people."""
        self._repeats = Repeats(20)
        self._render: Callable[[str, dict[str, Any]], str] | None = None
        self._waiting: list[str] = []
        """Lines that are not written yet."""
        self._writes_soon: asyncio.AbstractEventLoop | None = None
        """Where that is due."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        if (left_out := self._repeats.left_out(_kind_of(record))) is None:
            return
        values: dict[str, Any]
        if isinstance(record.msg, LogEvent):
            values = {"event": record.msg.name, **record.msg.values}
        else:
            values = {"event": record.getMessage()}
            if trace := _traceback_of(record):
                values["exception"] = trace
            for redactor in (Redactor(), *_redactors()):
                # The values only: a line without its names would be no line.
                values = {n: redactor.value(each, _WINDOW_CHARS) for n, each in values.items()}
        if self.console:
            values = {name: _shown(each) for name, each in values.items()}
        if left_out:
            values["left_out"] = left_out
        level = record.levelname.lower()
        values |= {"level": level, "timestamp": rfc3339(time.time_ns())}
        self._render = self._render or (_console_renderer() if self.console else _json_line)
        self._waiting.append(f"{self._render(level, values)}\n")
        loop = _running_loop() if record.levelno <= logging.INFO else None
        if loop is None:
            self.flush()
        elif loop is not self._writes_soon:
            self._writes_soon = loop
            loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write all lines now."""
        self.acquire()
        try:
            lines, self._waiting, self._writes_soon = self._waiting, [], None
            for text in _in_one_write(lines):
                with contextlib.suppress(OSError, ValueError):
                    self._stream.write(text)
                    self._stream.flush()
        finally:
            self.release()


def _in_one_write(lines: list[str]) -> Iterator[str]:
    """Yield lines, as many together as other processes' lines cannot come between in a pipe (pipe(7))."""
    part, size_bytes = list[str](), 0
    for line in lines:
        length = len(line) if line.isascii() else len(line.encode(errors="replace"))
        if part and size_bytes + length > select.PIPE_BUF:
            yield "".join(part)
            part, size_bytes = [], 0
        part.append(line)
        size_bytes += length
    if part:
        yield "".join(part)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _console_renderer() -> Callable[[str, dict[str, Any]], str]:
    """Return what makes a line for people of a level and values."""
    import structlog  # noqa: PLC0415 - with rich; most starts have nothing to say

    render = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(),
        # A plain traceback: a pretty one prints local variables, and they hold keys.
        exception_formatter=structlog.dev.plain_traceback,
    )
    return lambda level, values: str(render(None, level, values))


def _json_line(_level: str, values: dict[str, Any]) -> str:
    return orjson.dumps(values, default=str).decode()


def _shown(value: object) -> object:
    """Return a value as a terminal can show it: what is from outside must not steer it."""
    if value is None or isinstance(value, int | float):
        return value
    text = value if isinstance(value, str) else str(value)
    return "\n".join(map(printable, text.split("\n")))


def _kind_of(record: logging.LogRecord) -> int:
    """Return what lines that say the same have in common: of a library's, all but its details."""
    if isinstance(record.msg, LogEvent):
        with contextlib.suppress(TypeError):  # a value is a list or an object
            return hash((record.name, record.msg.name, *record.msg.values.values()))
        return hash((record.name, str(record.msg)))
    error = record.exc_info[1] if record.exc_info else None
    return hash((record.name, record.getMessage().partition("\n")[0], repr(error)))


def _traceback_of(record: logging.LogRecord) -> str:
    if record.exc_info and record.exc_info[0] is not None:
        return "".join(traceback.format_exception(*record.exc_info))
    return record.exc_text or ""


def _redactors() -> Iterator[Redactor]:
    """Yield what redacts lines of libraries, which know neither proxy nor call."""
    for redactors in tuple(_RUNNING):
        yield from redactors()
    yield from tuple(_ENDED)


class _LibraryFilter(logging.Filter):
    """Takes the secrets of this process's proxies out of a record; one that holds none stays as it is."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record pass, without secrets."""
        redactors = tuple(_redactors())
        try:
            texts = {"msg": record.getMessage(), "exc_text": _traceback_of(record).rstrip()}
        except Exception:  # noqa: BLE001 - whatever formatting raises, `logging` reports it later
            return True
        for name, text in texts.items():
            redacted = text
            for redactor in redactors:
                redacted = redactor.text(redacted)
            if redacted != text:
                setattr(record, name, redacted)
                if name == "msg":
                    record.args = None
                else:
                    record.exc_info = None  # its text is all that can be redacted
        return True


_LIBRARY_FILTER = _LibraryFilter()


@contextlib.contextmanager
def redacting_libraries(held: Redactor, calls: Callable[[], Iterable[Redactor]]) -> Generator[None]:
    """Redact what libraries log, and a crash of a command, while a proxy runs.

    Afterwards what the proxy held is redacted still: a late traceback may show it.

    Args:
        held: Redacts what the proxy holds.
        calls: Gives what redacts the secrets of its calls in flight.
    """
    for name in _LIBRARIES:
        logging.getLogger(name).addFilter(_LIBRARY_FILTER)  # a second time, it changes nothing

    def redactors() -> Iterator[Redactor]:
        yield from calls()
        yield held

    _RUNNING.append(redactors)
    try:
        yield
    finally:
        _ENDED.append(held)
        _RUNNING.remove(redactors)


def _handlers() -> list[StderrHandler]:
    return [each for each in logging.getLogger().handlers if isinstance(each, StderrHandler)]


def modules_of_lines() -> tuple[str, ...]:
    """Return the modules that the first line for people would import: none where no line is written for them."""
    return ("structlog",) if any(each.console for each in _handlers()) else ()


def configure_logs(level: str, log_format: LogFormat) -> None:
    """Have this process write its log to standard error.

    Args:
        level: Least level that is logged.
        log_format: `auto` looks at whether standard error is a terminal.
    """
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    handler = StderrHandler(console=console)
    handler.setLevel(level.upper())
    for earlier in _handlers():
        logging.getLogger().removeHandler(earlier)
    logging.getLogger().addHandler(handler)
    logging.getLogger("cab").setLevel(level.upper())
    # What aiohttp says of requests and of connections, our records say.
    logging.getLogger("aiohttp.access").disabled = True
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    sys.excepthook = _log_crash


def set_log_level(level: str) -> None:
    """Have `configure_logs` write from another level on."""
    for handler in _handlers():
        handler.setLevel(level.upper())
    logging.getLogger("cab").setLevel(level.upper())


def _log_crash(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if isinstance(error, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    _LOGGER.critical("crashed", exc_info=(kind, error, trace))
