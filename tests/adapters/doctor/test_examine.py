"""Whole examinations: real processes, a real proxy, the fake endpoint, a network of their own."""

import os
import select
import signal
import sys
import time
from collections.abc import Collection
from pathlib import Path

import orjson
import pytest

from cab.adapters.cli import main
from cab.adapters.doctor.diagnosis import Diagnosis
from cab.adapters.doctor.isolation.namespaces import why_not_isolated
from cab.adapters.doctor.parent import Subject, examine_agent
from cab.adapters.doctor.probes import PROBES
from tests.tools.commands import start_command

CARELESS = "tests.adapters.doctor.careless:Careless"
SLY = "tests.adapters.doctor.sly"
ROOT = Path(__file__).parents[3]
ISOLATED = why_not_isolated() is None


def examined(
    name: str, *probes: str, limit_s: float = 60.0, isolated: bool = ISOLATED
) -> Diagnosis:
    subject = Subject(name, "chat.completions")
    return examine_agent(subject, probes, limit_s, "2026-11-20", isolated=isolated)


@pytest.fixture(autouse=True)
def _adapters_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    path = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))


@pytest.mark.slow
def test_all_that_is_wrong_is_found() -> None:
    """Key, model, files, own count: each fault of a careless agent is named, and the host it asks."""
    found = examined(CARELESS, "normal")
    assert sorted(found.faults) == [
        "normal: asked for another model: another-model",
        "normal: its own count is called exact and differs from the meter's",
        "normal: left undeclared files: junk.log",
        "normal: the cell's key is in a process's argv",
        "normal: the cell's key is in stdout",
        "normal: the cell's key is in workspace/junk.log",
        "normal: the task was not solved",
    ]
    shown = found.evidence["normal"]
    assert shown.isolated is ISOLATED
    hosts = {name: times > 0 for name, times in shown.hosts.items()}
    assert hosts == ({"telemetry.example.org": True} if ISOLATED else {})
    assert len(shown.attempts) == 2
    assert shown.differences == ()


@pytest.mark.slow
def test_what_is_easy_to_overlook_is_found() -> None:
    """A compressed key, a key in very long output, a daemon without a mark, addresses, files outside."""
    if not ISOLATED:
        pytest.skip("no namespaces here, and the agent would write into the machine's own /tmp")
    found = examined(f"{SLY}:Sly", "normal")
    assert sorted(found.faults) == [
        "normal: 1 process escaped the runner and still ran after the end",
        "normal: left undeclared files: packed.gz",
        "normal: no model call reached the proxy",
        "normal: the cell's key is in /tmp/key-of-sly",
        "normal: the cell's key is in output that was too long to store",
        "normal: the cell's key is in workspace/packed.gz",
    ]
    shown = found.evidence["normal"]
    hosts = ("192.0.2.7:443", "[2001:db8::7]:80", "127.0.0.1:11434", "192.0.2.53:53")
    assert shown.hosts == dict.fromkeys((*hosts, "hidden.example.org"), 1)
    written = ("/dev/shm/left-by-sly", "/tmp/key-of-sly", "/tmp/left-by-sly")
    assert shown.elsewhere == written
    assert [path for path in written if Path(path).exists()] == []


@pytest.mark.parametrize("isolated", {False, ISOLATED})
@pytest.mark.slow
def test_an_agent_that_hangs_is_stopped(isolated: bool) -> None:
    """The limit ends it and its child; without namespaces what could not be examined is listed."""
    found = examined(f"{SLY}:Endless", "normal", limit_s=1.0, isolated=isolated)
    assert [fault.split(" within")[0] for fault in found.faults] == [
        "normal: no model call reached the proxy",
        "normal: did not end",
    ]
    assert found.not_examined == ([] if isolated else ["other hosts", "files outside its folders"])


def test_an_examining_process_that_dies_is_reported() -> None:
    """Its last message is the reason."""
    found = examined(f"{SLY}:Deadly", "normal", "limit")
    why = "could not be run: the examining process ended before: all is lost"
    assert found.faults == [f"normal: {why}", f"limit: {why}"]


def test_an_agent_that_cannot_be_started_is_reported() -> None:
    """The reason is one line for each probe: the first failure does not stop the others."""
    found = examined(f"{SLY}:Absent", "normal", "limit")
    assert sorted(found.broken) == ["limit", "normal"]
    for why in found.broken.values():
        assert "no-such-program" in why
        assert "unhandled errors" not in why
        assert "examining process" not in why


@pytest.mark.slow
def test_a_call_that_is_still_open_is_reported() -> None:
    """Where a call does not end within the limit, ledger and account are not called equal."""
    found = examined(f"{SLY}:Hasty", "slow_stream", limit_s=1.0)
    open_still = "calls were still open when ledger and account were compared"
    assert f"slow_stream: {open_still}" in found.faults
    assert found.evidence["slow_stream"].own_promised


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_one_that_is_stopped(number: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C, an end from outside, even a kill: agent, its child and the examining process end."""
    words = ["adapters", "doctor", f"{SLY}:Endless", "--probe", "normal"]
    env = {**os.environ, "TMPDIR": str(tmp_path), "CAB_TEST_MARK": tmp_path.name}
    with start_command("cab", *words, env=env) as process:
        while not (agents := marked_agents(tmp_path)):
            assert process.poll() is None
            time.sleep(0.05)
        handles = list(map(os.pidfd_open, agents))
        process.send_signal(number)
        process.wait()
    for handle in handles:
        assert select.select([handle], [], [], 60)[0]
        os.close(handle)
    assert marked_agents(tmp_path) == []
    if number != signal.SIGKILL:
        assert list(tmp_path.iterdir()) == []


def marked_agents(folder: Path) -> list[int]:
    """Return the processes with a folder of the run as their own."""
    found = (each / "environ" for each in Path("/proc").iterdir() if each.name.isdigit())
    return [int(path.parent.name) for path in found if f"{folder}/cab-".encode() in _bytes_of(path)]


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize(
    "probes",
    [("server_error", "cut_stream"), pytest.param(PROBES, marks=pytest.mark.slow)],
    ids=["two", "all"],
)
def test_the_built_in_agent_holds_under_every_probe(probes: Collection[str]) -> None:
    """Whatever the endpoint does, its account and the ledger agree request by request."""
    found = examined("scripted", *probes)
    assert found.faults == []
    assert found.broken == {}
    ended = {name: shown.attempts[-1].end_reason for name, shown in found.evidence.items()}
    expected = {
        "normal": "completed",
        "several_files": "completed",
        "long_task": "completed",
        "unauthorized": "upstream_error",
        "rate_limited": "upstream_error",
        "server_error": "upstream_error",
        "cut_stream": "upstream_cut",
        "slow_stream": "completed",
        "budget": "upstream_error",
        "limit": "rejected",
    }
    assert ended == {name: expected[name] for name in probes}


@pytest.mark.slow
def test_the_command_prints_and_writes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The rows stand in the page, the verdict in the exit code, and JSON holds the evidence."""
    page = tmp_path / "agents.md"
    page.write_text(
        "<!-- metered -->\n<!-- /metered -->\n<!-- behaviour -->\n<!-- /behaviour -->\n"
    )
    assert main(["adapters", "doctor", "scripted", "--probe", "normal", "--write", str(page)]) == 0
    assert "scripted 1: holds under normal\n" in capfd.readouterr().out
    assert "| scripted | 1 | " in page.read_text()
    assert main(["adapters", "doctor", "scripted", "--probe", "limit", "--json"]) == 0
    printed = orjson.loads(capfd.readouterr().out)
    assert printed["holds"] is True
    assert printed["evidence"]["limit"]["attempts"][-1]["end_reason"] == "rejected"


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ([], "which agents?"),
        (["scripted", "--all"], "which agents?"),
        (["nonesuch"], "nonesuch"),
        (["scripted", "--limit-s", "0"], "--limit-s 0 is not above 0"),
        (["scripted", "--dialect", "messages"], "it speaks chat.completions"),
        (["scripted", "--write", "/nowhere/page.md"], "--write /nowhere/page.md: No such file"),
        (["scripted", "--probe", "normal", "--write", "{page}"], "the page has no"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str], what: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What cannot be done is one line, with exit code 2."""
    (tmp_path / "page.md").write_text("no tables")
    filled = [word.replace("{page}", str(tmp_path / "page.md")) for word in arguments]
    assert main(["adapters", "doctor", *filled]) == 2
    error = capfd.readouterr().err
    assert what in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.slow
def test_agents_that_are_not_installed_are_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --all each one that is not installed is named as not examined, in JSON as neither yes nor no."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert main(["adapters", "doctor", "--all", "--probe", "normal", "--json"]) == 0
    out, err = capfd.readouterr()
    printed = {line["agent"]: line for line in map(orjson.loads, out.splitlines())}
    assert printed["scripted"]["holds"] is True
    assert printed["codex"]["holds"] is None
    assert "cab adapters install codex" in printed["codex"]["why"]
    assert "cab: not examined: aider " in err


@pytest.mark.slow
def test_an_adapter_beside_us(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module in the current folder is found, without and within; a row per dialect has it in its key."""
    (tmp_path / "mine_to_examine.py").write_text(
        "from cab.adapters.agents.scripted import Scripted\n"
        "from cab.adapters.agents.base import AgentFacts\n"
        "class Mine(Scripted):\n"
        "    facts = AgentFacts('mine', '1', ('chat.completions', 'responses'))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    arguments = ["mine_to_examine:Mine", "--all-dialects", "--probe", "normal", "--json"]
    assert main(["adapters", "doctor", *arguments]) == 1
    printed = [orjson.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [each["agent"] for each in printed] == ["mine (chat.completions)", "mine (responses)"]
    assert [each["holds"] for each in printed] == [True, False]
    assert printed[1]["faults"] == [
        "normal: called another endpoint than responses: chat.completions"
    ]
