"""Commands that a signal ends put in order what they started."""

import signal
import subprocess
import sys

import pytest

COROUTINE = """
import asyncio
from cab.adapters.processes.termination import run_until_terminated

async def work():
    try:
        print("ready", flush=True)
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0)
        print("ended what was started", flush=True)

run_until_terminated(work())
"""

PLAIN = """
import time
from cab.adapters.processes.termination import ended_by_signals

with ended_by_signals():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("ended what was started", flush=True)
"""


@pytest.mark.parametrize("code", [COROUTINE, PLAIN], ids=["coroutine", "plain"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_in_order(code: str, number: signal.Signals) -> None:
    """What the code does at its end is done, and the exit code is the one that shells know."""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (128 + number, "ended what was started\n", "")


@pytest.mark.parametrize("code", [COROUTINE, PLAIN], ids=["coroutine", "plain"])
def test_what_is_ignored_stays_ignored(code: str) -> None:
    """With nohup a command outlives its terminal, and SIGTERM still ends it."""
    with subprocess.Popen(
        ["nohup", sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (128 + signal.SIGTERM, "ended what was started\n")
