"""Reading what a program prints."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.adapters.output.asciicast import CastWriter
from cab.adapters.output.capture import Capture
from cab.proxy.redaction import Redactor

SECRET = "sk-0123456789"


def capture(folder: Path, *, terminal: bool = False) -> Capture:
    cast = CastWriter(folder / "cast", title="t", timestamp_s=0, term="dumb")
    return Capture(folder, Redactor([SECRET]), cast, terminal=terminal)


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def run(folder: Path, code: str, *, terminal: bool = False) -> None:
    """Run a program, and capture it."""
    captured = capture(folder, terminal=terminal)
    stdout, stderr = captured.descriptors
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-c", code),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )
    captured.start()
    assert await process.wait() == 0
    captured.finish()


def events(folder: Path) -> list[Any]:
    return [orjson.loads(line) for line in (folder / "cast").read_bytes().splitlines()][1:]


@pytest.mark.parametrize("terminal", [False, True])
async def test_two_streams(tmp_path: Path, terminal: bool) -> None:
    """Output and messages are two files, byte for byte, and one recording."""
    code = (
        "import sys; print('out', sys.stdout.isatty()); print('err', file=sys.stderr);"
        "sys.stdout.flush(); sys.stdout.buffer.write(b'\\r\\n\\xff')"
    )

    await run(tmp_path, code, terminal=terminal)

    assert (tmp_path / "stdout").read_bytes() == b"out %s\n\r\n\xff" % str(terminal).encode()
    assert (tmp_path / "stderr").read_bytes() == b"err\n"
    recorded = events(tmp_path)
    assert {kind for _, kind, _ in recorded} == {"o"}
    text = "".join(text for _, _, text in recorded)
    assert "err\r\n" in text
    assert f"out {terminal}\r\n" in text
    times = [at_s for at_s, _, _ in recorded]
    assert times == sorted(times)


async def test_terminal_size(tmp_path: Path) -> None:
    """A terminal is as large as the recording says."""
    code = "import os; print(os.get_terminal_size(1), os.get_terminal_size(2))"

    await run(tmp_path, code, terminal=True)

    assert (tmp_path / "stdout").read_text().count("columns=120, lines=40") == 2


@pytest.mark.parametrize("terminal", [False, True])
async def test_much_output(tmp_path: Path, terminal: bool) -> None:
    """More than a pipe holds is read while the program runs, and nothing of it is lost."""
    await run(tmp_path, "print('0123456789' * 100_000)", terminal=terminal)

    assert (tmp_path / "stdout").read_bytes() == b"0123456789" * 100_000 + b"\n"


async def test_secret_in_two_reads(tmp_path: Path) -> None:
    """A secret that is split over two reads reaches neither file nor recording."""
    captured = capture(tmp_path)
    stdout = os.dup(captured.descriptors.stdout)
    captured.start()
    for part in (b"key sk-0123", b"456789", b" end sk-01"):
        os.write(stdout, part)
        await asyncio.sleep(0)  # one turn of the loop: what is there is read
        await asyncio.sleep(0)
    os.close(stdout)
    captured.finish()

    assert (tmp_path / "stdout").read_bytes() == b"key [redacted] end sk-01"
    assert "".join(text for _, _, text in events(tmp_path)) == "key [redacted] end sk-01"


async def test_writer_that_stays(tmp_path: Path) -> None:
    """A process that still holds the pipe is not waited for."""
    captured = capture(tmp_path)
    stdout = os.dup(captured.descriptors.stdout)
    captured.start()
    os.write(stdout, b"last words")
    captured.finish()
    os.close(stdout)

    assert (tmp_path / "stdout").read_bytes() == b"last words"


async def test_never_started(tmp_path: Path) -> None:
    """A capture whose program could not be started closes all that it opened."""
    before = open_files()

    capture(tmp_path, terminal=True).finish()

    assert open_files() == before
    assert (tmp_path / "stderr").read_bytes() == b""
