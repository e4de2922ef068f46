"""Logs on standard error: for people on a terminal, JSON lines in a pipe."""

import contextlib
import io
import logging
import sys
from types import TracebackType
from typing import Literal, TextIO, cast

import structlog

from cab.proxy.redaction import redact_in_play

LogFormat = Literal["auto", "console", "json"]


class _Lossy(io.TextIOBase):
    """A stream without secrets, that may fail: a full disk below the log must cost no call."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(redact_in_play(text))
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def configure_logs(level: str, log_format: LogFormat) -> None:
    """Set structlog up for this process.

    Args:
        level: Least level that is logged.
        log_format: `auto` looks at whether standard error is a terminal.
    """
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if console:
        processors.append(_console())
    else:
        processors += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(file=cast("TextIO", _Lossy(sys.stderr))),
        cache_logger_on_first_use=False,
    )
    _silence_aiohttp()
    root = logging.getLogger()
    if not any(isinstance(handler, _ToStructlog) for handler in root.handlers):
        root.addHandler(_ToStructlog())
    sys.excepthook = _log_crash


class _ToStructlog(logging.Handler):
    """Takes what libraries log, such as asyncio's tracebacks, the same way as our own."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger(record.name)
        log.log(record.levelno, record.getMessage(), exc_info=record.exc_info)


def _log_crash(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    if isinstance(error, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    structlog.get_logger("cab.proxy").critical("crashed", exc_info=(kind, error, traceback))


def _console() -> structlog.dev.ConsoleRenderer:
    # A plain traceback: a pretty one prints local variables, and they hold keys.
    plain = structlog.dev.plain_traceback
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)


def _silence_aiohttp() -> None:
    """Keep aiohttp's own loggers from printing what our records already say."""
    logging.getLogger("aiohttp.access").disabled = True
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
