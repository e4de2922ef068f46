"""Starts the examining process and collects its evidence."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

import orjson
from pydantic import ValidationError

from cab.adapters.agents.registry import load_adapter
from cab.adapters.doctor.diagnosis import Diagnosis
from cab.adapters.doctor.evidence import Evidence
from cab.adapters.doctor.isolation.namespaces import INSIDE, isolated_command, write_resolver
from cab.adapters.doctor.package_indexes import indexes_among
from cab.adapters.errors import AdapterError
from cab.scoring.ledger.records import Endpoint

_END_S = 20.0
"""How long the examining process may take to end its agent and itself."""
_MESSAGE_CHARS = 300


class Subject(NamedTuple):
    """One agent, in one dialect."""

    name: str
    """As `load_adapter` knows it; it is installed."""
    dialect: Endpoint
    """One of those that it speaks."""
    by_dialect: bool = False
    """Whether its rows name the dialect, as the agent has several rows."""


def examine_agent(
    subject: Subject, probes: Sequence[str], limit_s: float, date: str, *, isolated: bool
) -> Diagnosis:
    """Return what the probes show of one agent, and what could not be examined.

    Args:
        subject: The agent.
        probes: Names of the probes, in the order in which they are run.
        limit_s: Seconds that one run may take.
        date: Today.
        isolated: Whether to run it in namespaces of its own.
    """
    facts = load_adapter(subject.name).facts
    name = f"{facts.name} ({subject.dialect})" if subject.by_dialect else facts.name
    evidence: dict[str, Evidence] = {}
    broken: dict[str, str] = {}
    words = [subject.name, subject.dialect, f"{limit_s:g}", *probes]
    # The run writes below one folder, which is removed even if the inner process is killed.
    with tempfile.TemporaryDirectory(prefix="cab-doctor-", ignore_cleanup_errors=True) as folder:
        messages = Path(folder) / "messages"
        with messages.open("wb") as sink, _started(words, Path(folder), sink, isolated) as process:
            reason = _collect(process, evidence, broken)
        reason = reason or _last_line(messages) or f"exit code {process.returncode}"
    for probe in probes:
        if probe not in evidence and probe not in broken:
            broken[probe] = f"the examining process ended before: {reason}"
    return Diagnosis(name, facts.version, subject.dialect, date, evidence, broken)


def _collect(
    process: "subprocess.Popen[bytes]", evidence: dict[str, Evidence], broken: dict[str, str]
) -> str | None:
    """Read the lines of the process; return what is wrong with them."""
    assert process.stdout is not None
    for line in process.stdout:
        try:
            name, shown = _read(line)
        except AdapterError as error:
            return str(error)
        if isinstance(shown, Evidence):
            # Here and not in the namespaces of the run, where what the tools write would be the agent's.
            found = indexes_among(shown.hosts) if shown.hosts else {}
            evidence[name] = shown.model_copy(update={"indexes": found})
        else:
            broken[name] = shown
    with suppress(subprocess.TimeoutExpired):  # then it is killed
        process.wait(_END_S)
    return None


@contextmanager
def _started(
    words: Sequence[str], folder: Path, messages: IO[bytes], isolated: bool
) -> Generator["subprocess.Popen[bytes]"]:
    """Run the examining process; it ends with the block, or with us."""
    command = [sys.executable, "-P", "-m", "cab.adapters.doctor", *words]
    env = {**os.environ, "TMPDIR": str(folder)}
    if isolated:
        resolver = folder / "resolv.conf"
        write_resolver(resolver)
        command, env[INSIDE] = isolated_command(command, resolver), "1"
    with subprocess.Popen(
        command,
        env=env,
        stdin=subprocess.PIPE,  # it ends when this process ends
        stdout=subprocess.PIPE,
        stderr=messages,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Have the process end its agent and itself; kill it if that takes too long."""
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.close()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _last_line(messages: Path) -> str | None:
    lines = messages.read_text(errors="replace").strip().splitlines()
    return lines[-1][:_MESSAGE_CHARS] if lines else None


def _read(line: bytes) -> tuple[str, Evidence | str]:
    try:
        data = orjson.loads(line)
        if "broken" in data:
            return str(data["probe"]), str(data["broken"])
        return str(data["probe"]), Evidence.model_validate(data["evidence"])
    except (ValueError, LookupError, TypeError, ValidationError) as error:
        raise AdapterError(f"the examining process printed {line[:200]!r}: {error}") from error
