"""How `cab meter` ends: what is left of a call, of the proxy, of the ledger."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE

import pytest

from cab.adapters.cli import main
from tests.adapters.meter.metered import LIMIT_S, clean_environment, meter
from tests.tools.commands import run_command, start_command
from tests.tools.programs import CAB

CALL = """
import json, os, sys, urllib.request

def call():
    body = json.dumps({"model": "demo", "messages": [{"role": "user", "content": "hello"}]})
    headers = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
    url = f"{os.environ['OPENAI_BASE_URL']}/chat/completions"
    request = urllib.request.Request(url, body.encode(), headers)
    return json.load(urllib.request.urlopen(request))["usage"]["total_tokens"]

print(os.environ["OPENAI_BASE_URL"], flush=True)
print(call(), flush=True)
if len(sys.argv) > 1:
    sys.stdin.read()
    print(call())
"""


def answers(url: str) -> bool:
    """Return whether anything listens there."""
    try:
        urllib.request.urlopen(f"{url}/models", timeout=LIMIT_S)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


@contextmanager
def silent_endpoint(came: Path) -> Generator[str]:
    """Run an endpoint that never answers, and writes a line into a pipe when somebody calls."""
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as pool:

        def take() -> None:
            connection, _ = listening.accept()
            with connection:
                came.write_text("called\n")
                while connection.recv(65536):
                    pass

        taken = pool.submit(take)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        taken.result(LIMIT_S)


def test_kept_ledger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two commands in one ledger and one cell: each result is of its own calls, the cell has both."""
    words = ("--upstream", "demo", "--ledger", "ledger", "--cell", "ci/agent/demo/run/42")
    for _ in range(2):
        done = meter(tmp_path, *words, "--", sys.executable, "-c", CALL)
        assert done.code == 0, done.err
        assert done.result is not None
        assert done.result.calls == 1
        assert done.result.tokens.total == int(done.out.split()[1])
        assert not answers(done.out.split()[0])
    capsys.readouterr()
    ledger = str(tmp_path / "ledger")
    assert main(["ledger", "verify", ledger]) == 0
    capsys.readouterr()
    assert main(["ledger", "calls", ledger, "--by-cell", "--json"]) == 0
    [cell] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (cell["cell_id"], cell["calls"]) == ("ci/agent/demo/run/42", 2)


def test_ledger_taken_away(tmp_path: Path) -> None:
    """Where the figures cannot be read, that is said, and the exit code is the command's all the same."""
    words = ("--upstream", "demo", "--ledger", "ledger", "--", "sh", "-c", "rm -r ledger; exit 3")
    done = meter(tmp_path, *words)
    assert (done.code, done.result) == (3, None)
    assert "cab: what it spent cannot be read: ledger" in done.err


def test_killed(tmp_path: Path) -> None:
    """kill -9: the command loses its endpoint and nobody listens there; the ledger holds what was called."""
    options = ("--upstream", "demo", "--ledger", str(tmp_path / "ledger"))
    words = ("meter", *options, "--", sys.executable, "-c", CALL, "twice")
    with start_command(
        "cab", *words, env=clean_environment(), stdin=PIPE, stdout=PIPE, stderr=PIPE
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert int(process.stdout.readline()) > 0
        process.send_signal(signal.SIGKILL)
        process.wait(LIMIT_S)
        out, err = process.communicate(timeout=LIMIT_S)  # until the command has ended too
    assert out == ""
    assert "Connection refused" in err
    assert not answers(url)
    assert main(["ledger", "verify", str(tmp_path / "ledger")]) == 0


def test_files_of_an_agent(tmp_path: Path) -> None:
    """What an agent gets as a file nobody else may read, and it is gone at the end, also after a signal."""
    agent = tmp_path / "pi"
    agent.write_text('#!/bin/sh\nstat -c "%a %n" "${2%/*}" "$2"\nread line\n')
    agent.chmod(0o755)
    words = ("meter", "--upstream", "demo", "--", str(agent), "hello")
    with start_command(
        "cab", *words, env=clean_environment(), stdin=PIPE, stdout=PIPE, stderr=DEVNULL
    ) as process:
        assert process.stdout is not None
        mode, _, folder = process.stdout.readline().strip().partition(" ")
        file = process.stdout.readline().strip().partition(" ")[2]
        assert (mode, Path(file).parent, Path(file).is_file()) == ("700", Path(folder), True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 128 + signal.SIGTERM
    assert not Path(folder).exists()


def test_call_left_open(tmp_path: Path) -> None:
    """A call that the command leaves behind is cut after the grace time, and stands as not counted."""
    os.mkfifo(tmp_path / "came")
    script = f"{shlex.join([sys.executable, '-c', CALL])} 2>/dev/null & read line < came"
    with silent_endpoint(tmp_path / "came") as url:
        words = ("--upstream", url, "--grace-s", "0.2", "--", "sh", "-c", script)
        done = meter(tmp_path, *words)
    assert done.code == 0, done.err
    assert done.result is not None
    assert (done.result.calls, done.result.uncounted_calls) == (1, 1)
    assert done.result.tokens.total is None
    assert "not metered: 1 call whose tokens nobody counted" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no command; put it behind --"),
        (["--json", "-", "--", "touch", "ran"], "--json - would write into the command's output"),
        (["--json", "no/such/f", "--", "touch", "ran"], "--json no/such/f cannot be written"),
        (["--upstream", "nowhere", "--", "touch", "ran"], "'nowhere' is not an http(s) URL"),
        (["--upstream", "demo", "--grace-s", "-1", "--", "touch", "ran"], "cab: grace_s: "),
        (["--capture", "bodies", "--", "touch", "ran"], "give --ledger DIR"),
        (["--", "touch", "ran"], "no endpoint to meter"),
        (["--upstream", "demo", "--", "cline"], "cline takes its endpoint from its settings alone"),
    ],
)
def test_not_started(tmp_path: Path, words: list[str], said: str) -> None:
    """What cannot be metered is not run; the error is one line."""
    done = run_command("cab", "meter", *words, cwd=tmp_path, env=clean_environment())
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_closed_streams(tmp_path: Path) -> None:
    """Without standard streams the exit code is the command's, for which they are closed too."""
    words = [str(CAB), "meter", "--upstream", "demo", "--json", "spent.json", "--"]
    script = "[ -e /dev/fd/1 ] || [ -e /dev/fd/2 ] || exit 7"
    for command, code in ((["sh", "-c", script], 7), (["no-such-command"], 127)):
        closing = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *words, *command]
        done = subprocess.run(closing, cwd=tmp_path, env=clean_environment(), check=False)
        assert done.returncode == code
    assert json.loads((tmp_path / "spent.json").read_text())["exit_code"] == 7


@pytest.mark.slow
def test_current_folder_deleted(tmp_path: Path) -> None:
    """A command runs in a folder that is gone; where something is to be written there, the error names it."""
    script = 'mkdir gone && cd gone && rmdir ../gone && "$@"'
    outer = ["sh", "-c", script, "sh", str(CAB)]
    outer += ["meter", "--upstream", "demo"]
    for words, code, said in (
        (["--", "sh", "-c", "exit 7"], 7, "no call came"),
        (["--ledger", "ledger", "--", "touch", str(tmp_path / "ran")], 2, "the current folder: "),
    ):
        done = subprocess.run(
            [*outer, *words],
            cwd=tmp_path,
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code
        assert said in done.stderr
    assert not (tmp_path / "ran").exists()


def test_names_that_are_not_text(tmp_path: Path) -> None:
    """A program and a ledger whose names are not UTF-8 are metered as others are."""
    program = tmp_path / os.fsdecode(b"caf\xe9")
    program.write_text("#!/bin/sh\nexit 7\n")
    program.chmod(0o755)
    words = ("--upstream", "demo", "--ledger", os.fsdecode(b"l\xe9dger"), "--", str(program))
    done = meter(tmp_path, *words)
    assert done.code == 7, done.err
    assert done.result is not None
    assert done.result.program == "caf\\udce9"
    assert done.result.ledger == [f"{tmp_path}/l\\udce9dger"]


def test_no_call_succeeded(tmp_path: Path) -> None:
    """Where every call failed, the last line is the command that says why."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    done = meter(tmp_path, "--upstream", url, "--", sys.executable, "-c", CALL)
    assert done.code == 1
    assert done.err.splitlines()[-1].endswith(f": cab check --upstream {url} --model demo")
