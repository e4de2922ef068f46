"""`cab run-cell`."""

import os
import select
import signal
import sys
import threading
from pathlib import Path

import orjson
import pytest

from cab.adapters.cli import main, make_parser
from cab.adapters.commands.run_cell import exit_code, spec_of
from cab.adapters.runs.bundle import is_complete, read_marker
from cab.adapters.runs.upstream_account import AccountComparison, Served
from cab.adapters.sandboxes.docker import Container
from cab.proxy import start_proxy
from cab.scoring import iter_calls
from tests.adapters.light_task import light_task
from tests.adapters.toyagents import alive
from tests.tools.commands import start_command

TASK = "polyglot/python-error-handling"
DEMO = ["--upstream", "demo"]
ARGUMENTS = ["run-cell", "--tui", "scripted", "--task", light_task()]


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    """It prints the table, where the bundle is, and how the two accounts compare."""
    assert main([*ARGUMENTS, "--upstream", "demo"]) == 0

    captured = capsys.readouterr()
    lines = captured.out.rstrip().split("\n")
    assert lines[0].rstrip() == f"local/scripted/demo/{TASK}"
    assert lines[-2] == f"bundle: runs/local/scripted/demo/{TASK}"
    assert lines[-1].startswith("the model server served 3 calls, ")
    assert lines[-1].endswith(": equal")
    assert captured.err == ""


def test_deviations_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal it prints what was not confined; in a pipe it is quiet, and the cell has it anyway."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    assert main([*ARGUMENTS, *DEMO]) == 0

    printed = capsys.readouterr().err
    assert "deviation open-network: the agent could reach other hosts than the proxy\n" in printed


@pytest.mark.parametrize("by", ["control_port", "control_socket"])
@pytest.mark.parametrize("option", ["--control", "CAB_CONTROL"])
def test_a_given_proxy_with_a_control_address_of_its_own(
    capsysbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    by: str,
    option: str,
) -> None:
    """The cell calls the proxy's URL, and is sealed where its control API is."""
    monkeypatch.setenv("CAB_SIGNING_KEY", "signing-key-of-the-tests-0123456789")
    where = {by: 0 if by == "control_port" else tmp_path / "control.sock"}
    settings = {"upstream": "demo", "ledger": tmp_path / "ledger", "auth": "keys", **where}
    with start_proxy(signing_key=os.environ["CAB_SIGNING_KEY"], **settings) as proxy:
        asked = [*ARGUMENTS, "--model", "demo", "--proxy", proxy.url]
        assert main(asked) == 2
        assert b"its control API has an address of its own" in capsysbinary.readouterr().err
        if option == "CAB_CONTROL":
            monkeypatch.setenv(option, proxy.control_url)
        else:
            asked += [option, proxy.control_url]
        # The first call took it out of the environment.
        monkeypatch.setenv("CAB_SIGNING_KEY", "signing-key-of-the-tests-0123456789")
        assert main([*asked, "--json"]) == 0
    result = orjson.loads(capsysbinary.readouterr().out)
    assert result["tokens"]["model_calls"] == 3
    assert sum(1 for _ in iter_calls(tmp_path / "ledger")) == 3


def test_control_needs_a_proxy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a flag it means a proxy that runs already; from the shell it is for such cells only."""
    assert main([*ARGUMENTS, *DEMO, "--control", "http://h"]) == 2
    assert "--control is for a running proxy; add its URL" in capsys.readouterr().err
    monkeypatch.setenv("CAB_CONTROL", "unix:/nowhere/socket")
    assert main([*ARGUMENTS, *DEMO]) == 0


def test_json(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """With --json it prints one object on one line, and nothing else."""
    assert main([*ARGUMENTS, "--upstream", "demo", "--json"]) == 0

    out = capsysbinary.readouterr().out
    result = orjson.loads(out)
    assert out.count(b"\n") == 1
    assert result["account"]["served"] == result["account"]["ledger"]
    assert result["tokens"]["prompt_tokens"] == result["account"]["served"]["prompt_tokens"]
    assert Path(result["bundle"]).is_dir()
    assert {"no-boundary", "open-network"} <= set(result["deviations"])


def test_no_account(demo_url: str, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """Any other endpoint gives no account: nothing is compared."""
    endpoint = ["--upstream", demo_url, "--model", "m"]

    assert main([*ARGUMENTS, *endpoint]) == 0
    table = capsysbinary.readouterr().out
    assert main([*ARGUMENTS, *endpoint, "--run", "2", "--json"]) == 0
    result = orjson.loads(capsysbinary.readouterr().out)

    assert table.rstrip().endswith(f"bundle: runs/local/scripted/m/{TASK}".encode())
    assert result["account"] is None
    assert result["tokens"]["model_calls"] == 3


@pytest.mark.parametrize("demo_url", ["unauthorized"], indirect=True)
def test_no_call_succeeded(demo_url: str, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """A wrong key is shown as the endpoint says it, and is exit code 1."""
    endpoint = ["--upstream", demo_url, "--model", "m", "--json"]

    assert main([*ARGUMENTS, *endpoint]) == 1

    printed = capsysbinary.readouterr()
    said = orjson.loads(printed.out)["no_call_succeeded"]
    assert said.startswith("no model call succeeded: 1 x HTTP 401: ")
    assert f"cab: {said}\n" in printed.err.decode()


@pytest.mark.parametrize(
    ("ledger", "code"), [(Served(3, 20, 10), 0), (Served(3, 20, 11), 1), (Served(3, None, 10), 1)]
)
def test_exit_code(ledger: Served, code: int) -> None:
    """A ledger that is not the model server's account is exit code 1."""
    assert exit_code(AccountComparison(Served(3, 20, 10), ledger)) == code
    assert exit_code(None) == 0


def test_all_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every option and variable ends up in the cell's spec."""
    monkeypatch.setenv("CAB_ENDPOINT", "http://not-this-one")
    monkeypatch.setenv("CAB_KEY", "real")
    monkeypatch.setenv("CAB_SIGNING_KEY", "signing")
    options = (
        "--model m --upstream http://h --ledger led --runs out --sweep s --run 2 "
        "--timeout-s 5 --force --keep-workspace --sandbox docker --image i --network n "
        "--engine podman --deviate root --limit memory=1g --limit cpu-s=off --terminal "
        "--plugin p --plugin q.toml --plugins plugged"
    )

    spec = spec_of(make_parser(["run-cell"]).parse_args([*ARGUMENTS, *options.split()]))

    assert (spec.tui, spec.task, spec.model) == ("scripted", light_task(), "m")
    assert (spec.upstream, spec.upstream_key, spec.signing_key) == ("http://h", "real", "signing")
    assert (spec.ledger, spec.runs) == (Path("led"), Path("out"))
    assert (spec.sweep, spec.run, spec.timeout_s) == ("s", 2, 5)
    assert (spec.force, spec.keep_workspace, spec.proxy) == (True, True, None)
    assert spec.sandbox == "docker"
    assert spec.container == Container(
        image="i", network="n", engine="podman", deviations=("root",)
    )
    assert (spec.limits.memory, spec.limits.cpu_s) == (1 << 30, None)
    assert (spec.terminal, spec.plugins) == (True, ("p", "q.toml"))
    assert spec.plugins_folder == Path("plugged")


def test_help_names_the_missing_boundary(capsys: pytest.CaptureFixture[str]) -> None:
    """The help says plainly that the local sandbox is not a security boundary."""
    with pytest.raises(SystemExit):
        main(["run-cell", "--help"])

    assert "these are not a security boundary" in " ".join(capsys.readouterr().out.split())


def test_empty_variables(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A variable that is set to nothing is not set."""
    monkeypatch.setenv("CAB_ENDPOINT", "")

    assert main([*ARGUMENTS, "--model", "m"]) == 2
    assert "set CAB_ENDPOINT" in capsys.readouterr().err


def test_no_model(capsys: pytest.CaptureFixture[str]) -> None:
    """Only the built-in model server has a model of its own."""
    assert main([*ARGUMENTS, "--upstream", "http://127.0.0.1:1"]) == 2
    assert "give --model NAME" in capsys.readouterr().err


def test_asked_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM ends the agent first, then the command, with the exit code that shells know."""
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    monkeypatch.setenv("TEST_READY", str(ready))
    agents: list[int] = []

    def stop() -> None:
        agents.append(int(ready.read_text()))
        os.kill(os.getpid(), signal.SIGTERM)

    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(SystemExit) as caught:
        main(["run-cell", "--tui", "tests.adapters.toyagents:Waiting", *ARGUMENTS[3:], *DEMO])
    stopper.join()

    assert caught.value.code == 143
    assert not alive(agents[0])


def test_killed(tmp_path: Path) -> None:
    """After kill -9 nothing of the run lives on, `cab score` knows it, and the next run is whole."""
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    words = ["run-cell", "--tui", "tests.adapters.toyagents:Lingering", *ARGUMENTS[3:], *DEMO]
    env = {**os.environ, "TEST_READY": str(ready), "PYTHONPATH": os.pathsep.join(sys.path)}
    with start_command("cab", *words, env=env) as process, ready.open("rb") as pipe:
        agent = int(pipe.readline())
        ended = os.pidfd_open(agent)
        process.kill()
        process.wait()
        assert pipe.read() == b""  # comes when the last process that holds the pipe closes it
        assert select.select([ended], [], [], 60)[0]  # it ends a moment later
        os.close(ended)

    bundle = Path("runs/local/lingering/demo") / TASK
    marker = read_marker(bundle)
    assert not alive(agent)
    assert marker is not None
    assert (marker.pid, marker.phase) == (process.pid, "agent")
    assert main(["score", str(bundle)]) != 0
    assert main(words) == 0
    assert is_complete(bundle)
    assert main(["score", str(bundle)]) == 0
