import json
import logging
import os
import select
import socket
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from cab.proxy.logs import RedactingLogger, Repeats, redacting_libraries
from cab.proxy.redaction import Redactor

_LOGGING = """
from cab.proxy.logs import RedactingLogger, configure_logs
configure_logs("info", "json")
for n in range(1000):
    RedactingLogger().error("counted", n=n)
print("done")
"""


def logging_to(descriptor: int) -> str:
    """Log many lines in a process with the given standard error; return what it prints at its end."""
    command = [sys.executable, "-c", _LOGGING]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=descriptor, text=True, check=False
    )
    return done.stdout


def test_a_full_disk_below_the_log_costs_nothing() -> None:
    """A log that cannot be written raises nothing where something is logged."""
    with Path("/dev/full").open("w") as full:
        assert logging_to(full.fileno()) == "done\n"


def test_a_closed_pipe_below_the_log_costs_nothing() -> None:
    """Neither does one whose reader has gone."""
    reading, writing = os.pipe()
    os.close(reading)
    assert logging_to(writing) == "done\n"
    os.close(writing)


def test_a_log_is_written(tmp_path: Path) -> None:
    """What is logged stands on standard error, line by line."""
    with (tmp_path / "log").open("w") as log:
        assert logging_to(log.fileno()) == "done\n"
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == 1000
    assert '"n":999' in lines[-1]


def test_lines_of_one_turn_are_written_together_and_in_order(tmp_path: Path) -> None:
    """Those of what is usual wait for the end of the turn, or for a line that does not; none is lost at the end."""
    program = """
import asyncio, os
from cab.proxy.logs import RedactingLogger, configure_logs
configure_logs("info", "json")
log = RedactingLogger()
def wrote():
    print(os.fstat(2).st_size > 0)
async def main():
    log.info("a", n=1)
    log.info("a", n=2)
    wrote()
    await asyncio.sleep(0)
    wrote()
    log.info("a", n=3)
    log.error("a", n=4)
    log.info("a", n=5)
asyncio.run(main())
"""
    with (tmp_path / "log").open("w") as log:
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=log, check=True
        )
    assert done.stdout.split() == [b"False", b"True"]
    lines = [orjson.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["n"] for line in lines] == [1, 2, 3, 4, 5]
    assert lines[3]["level"] == "error"


def test_lines_of_two_processes_do_not_mix() -> None:
    """However many come in a turn, no write is longer than a pipe takes in one piece."""
    program = """
import asyncio
from cab.proxy.logs import RedactingLogger, configure_logs
configure_logs("info", "json")
async def main():
    for n in range(100):
        RedactingLogger().info("a", n=n, text=chr(233) * 50)
asyncio.run(main())
"""
    reading, writing = socket.socketpair(
        socket.AF_UNIX, socket.SOCK_SEQPACKET
    )  # keeps writes apart
    with reading, writing:
        subprocess.run([sys.executable, "-c", program], stderr=writing.fileno(), check=True)
        writing.close()
        writes = list(iter(lambda: reading.recv(1 << 20), b""))
    assert 2 < len(writes) < 10
    assert max(map(len, writes)) <= select.PIPE_BUF
    assert all(write.endswith(b"\n") for write in writes)
    assert [orjson.loads(line)["n"] for line in b"".join(writes).splitlines()] == list(range(100))


def test_lines_that_are_alike_are_thinned_out(tmp_path: Path) -> None:
    """Of one kind only some lines are written in a while, however many there are."""
    program = """
from cab.proxy.logs import RedactingLogger, configure_logs
configure_logs("info", "json")
import logging, errno
for n in range(1000):
    fault = OSError(errno.EMFILE, "Too many open files")
    logging.getLogger("asyncio").error(f"socket.accept() out of resource\\nsocket: {n}", exc_info=fault)
    RedactingLogger().warning("full", most=5)
    RedactingLogger().warning("other", n=n % 3)
"""
    with (tmp_path / "log").open("w") as log:
        subprocess.run([sys.executable, "-c", program], stderr=log, check=True)
    events = [orjson.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines()]
    assert (events.count("full"), events.count("other")) == (20, 60)
    assert len(events) == 100


def test_a_record_is_like_any_other(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever handles the lines in a program of their own finds what records have."""
    caplog.set_level("INFO", "cab.proxy")
    before_s = time.time()
    RedactingLogger().info("call", n=1)
    (record,) = caplog.records
    plain = logging.LogRecord("cab.proxy", logging.INFO, record.pathname, 0, record.msg, (), None)
    assert vars(record).keys() - {"message", "asctime"} == vars(plain).keys()
    alike = {
        "name",
        "levelno",
        "levelname",
        "process",
        "thread",
        "threadName",
        "module",
        "filename",
    }
    assert {each: vars(record)[each] for each in alike} == {
        each: vars(plain)[each] for each in alike
    }
    assert before_s <= record.created <= plain.created
    assert 0 <= record.relativeCreated <= plain.relativeCreated
    assert logging.Formatter("%(asctime)s %(message)s").format(record).endswith(" call n=1")


def test_what_was_left_out_is_counted() -> None:
    """The next line of a kind says how many came in between; other kinds have their own count."""
    now_s = 100.0
    repeats = Repeats(2, 10, lambda: now_s)
    assert [repeats.left_out("a") for _ in range(5)] == [0, 0, None, None, None]
    assert repeats.left_out("b") == 0
    now_s = 110.0
    assert [repeats.left_out("a") for _ in range(3)] == [3, 0, None]
    assert repeats.left_out("b") == 0


def test_kinds_are_not_remembered_for_ever() -> None:
    """However many different lines there are, what is kept of them is bounded."""
    repeats = Repeats(1)
    for number in range(5000):
        assert repeats.left_out(number) == 0
    assert len(repeats._seen) <= 1024


@pytest.mark.parametrize("logger", ["asyncio", "aiohttp.client", "aiohttp.server"])
def test_a_record_without_secrets_stays_as_it_is(logger: str) -> None:
    """A library's record is changed only where it holds a secret; a wrong one is left to `logging`."""
    held = Redactor(["held-by-the-proxy"])
    error = ValueError("sent held-by-a-call")
    with redacting_libraries(held, lambda: (Redactor(["held-by-a-call"]),)):
        fault = (OSError, OSError("plain"), None)
        plain = logging.LogRecord(logger, 40, "f", 1, "plain %s", ("text",), fault)
        secret = logging.LogRecord(
            logger, 40, "f", 1, "%s", ("held-by-the-proxy",), (ValueError, error, None)
        )
        wrong = logging.LogRecord(logger, 40, "f", 1, "%d", ("x",), None)
        assert all(logging.getLogger(logger).filter(each) for each in (plain, secret, wrong))
    assert (plain.msg, plain.args, plain.exc_text) == ("plain %s", ("text",), None)
    assert plain.exc_info is fault
    assert logging.Formatter().format(secret) == "[redacted]\nValueError: sent [redacted]"
    assert (wrong.msg, wrong.args) == ("%d", ("x",))


ESCAPES = "a\x1b]0;title\x07b\x1b[2Jc\x9b31md\u202ee\rf"
_LOGGED = f"""
import logging
from cab.proxy.logs import RedactingLogger, configure_logs, redacting_libraries
from cab.proxy.redaction import Redactor
configure_logs("info", FORMAT)
secrets = Redactor().with_secrets(["exception", "level", "0123456789abcdef", "timestamp"])
log = RedactingLogger(secrets)
with redacting_libraries(secrets, tuple):
    log.info("call", model={ESCAPES!r}, values=[{ESCAPES!r}], n=1)
    logging.getLogger("asyncio").error("lost %s 0123456789abcdef", {ESCAPES!r})
    try:
        raise ValueError({ESCAPES!r} + chr(10) + "0123456789abcdef")
    except ValueError:
        logging.getLogger("asyncio").exception("failed")
        log.exception("call_failed")
"""


def logged(log_format: str) -> str:
    program = _LOGGED.replace("FORMAT", repr(log_format))
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stderr


def test_nothing_from_outside_steers_the_terminal() -> None:
    """On a console control characters of every kind are shown escaped; line ends of a traceback stay."""
    text = logged("console")
    steering = {char for char in text if not char.isprintable()} - {"\n"}
    assert steering == set()
    assert text.count(r"a\x1b]0;title\x07b\x1b[2Jc\x9b31md\u202ee\rf") >= 4
    assert "\n  File " in text
    assert "0123456789abcdef" not in text


def test_a_line_of_json_stays_one() -> None:
    """Whatever a client sent as its key, each line is JSON with its own names."""
    lines = [json.loads(line) for line in logged("json").splitlines()]
    assert len(lines) == 4
    for line in lines:
        assert {"event", "level", "timestamp"} <= line.keys()
    assert [line["level"] for line in lines] == ["info", "error", "error", "error"]
    assert lines[0]["model"] == ESCAPES
    assert all("exception" in line for line in lines[2:])
    assert "0123456789abcdef" not in json.dumps(lines)
