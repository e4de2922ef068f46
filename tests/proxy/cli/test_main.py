"""`cab-proxy` as a process: what it prints, how it fails, how it stops."""

import json
import os
import re
import signal
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE

import pytest

from cab.proxy.cli.flags import flag_of, is_nested
from cab.proxy.config import ProxySettings
from tests.tools.commands import StartedCommand, run_command, start_command
from tests.tools.proxy import records

CANARY = "sk-canary-of-the-environment"


def environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("CAB_")}
    return {**kept, "NO_COLOR": "1", **more}


def fails(*arguments: str, cwd: Path, **env: str) -> str:
    """Run a command that must fail with exit code 2 and one line, and return the line."""
    done = run_command("cab-proxy", *arguments, cwd=cwd, env=environment(**env))
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    return line


@contextmanager
def running(*arguments: str, cwd: Path, **env: str) -> Iterator[tuple[StartedCommand, str]]:
    """Run the proxy on a free port; give the process and what it printed when it was ready."""
    words = ("cab-proxy", "--port", "0", *arguments)
    with start_command(
        *words, cwd=cwd, env=environment(**env), stdout=PIPE, stderr=PIPE
    ) as process:
        assert process.stdout
        printed = ""
        while "API_KEY" not in printed and (line := process.stdout.readline()):
            printed += line
        yield process, printed


def post(url: str, body: object) -> dict[str, object]:
    request = urllib.request.Request(
        f"{url}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": "Bearer any"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        result: dict[str, object] = json.load(answer)
    return result


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "no upstream; give --upstream URL or set CAB_UPSTREAM, or use --upstream demo"),
        (["--upsteam", "x"], "'--upsteam'; did you mean --upstream? See cab-proxy --help"),
        (
            ["--upstream", "demo", "--key", "sk-secret"],
            "cab-proxy: --key is not an option: secrets are never flags; set CAB_KEY; see cab-proxy",
        ),
        (["--admin-token=sk-secret"], "secrets are never flags; set CAB_ADMIN_TOKEN"),
        (["--port", "0", "--signing-key", "sk-secret"], "never flags; set CAB_SIGNING_KEY"),
        (["--upstream", "demo", "--port", "x"], "--port: Input should be a valid integer"),
        (["--upstream", "nonsense"], "'nonsense' is not an http(s) URL"),
        (["--upstream", "demo", "--host", "0.0.0.0"], "can be reached from other machines"),
        (["--upstream", "demo", "--config", "none.toml"], "config none.toml cannot be read"),
        (["--upstream", "demo", "--ledger", "file/x"], "ledger file/x cannot be written"),
        (
            ["--upstream", "demo", "--host", "192.0.2.7", "--allow-open"],
            "cannot listen on 192.0.2.7",
        ),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    tmp_path: Path, arguments: list[str], line: str
) -> None:
    """Each mistake is one line that names the thing and the fix, without a traceback."""
    (tmp_path / "file").write_text("")
    printed = fails(*arguments, cwd=tmp_path)
    assert line in printed
    assert "sk-secret" not in printed


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    """A port that another program has is named, with what fixes it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = fails("--upstream", "demo", "--port", port, cwd=tmp_path)
    assert f"port {port}: address already in use; stop what listens there" in line
    assert "give another port (0 takes a free one)" in line


def test_settings_come_from_the_environment(tmp_path: Path) -> None:
    """The command takes its settings from variables and a file; each wins as documented."""
    (tmp_path / "cab.toml").write_text('upstream = "http://nowhere"\ncell = "s/a/m/f/file"\n')
    variables = {
        "CAB_CONFIG": "cab.toml",
        "CAB_UPSTREAM": "demo",
        "CAB_LEDGER": "by-variable",
        "CAB_AUTH": "keys",
    }
    with running("--ledger", "by-flag", cwd=tmp_path, **variables) as (process, printed):
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert "forwards to  demo" in printed
    assert "ledger       by-flag" in printed
    assert "cell         s/a/m/f/file" in printed


def test_a_short_signing_key_is_named(tmp_path: Path) -> None:
    """A signing key that is too short is refused, without being printed."""
    line = fails("--upstream", "demo", cwd=tmp_path, CAB_SIGNING_KEY="tooshort")
    assert "CAB_SIGNING_KEY holds a key of fewer than 32 bytes" in line
    assert "tooshort" not in line


def test_a_first_look(tmp_path: Path) -> None:
    """With --upstream demo a call can be made at once, and its record is there when it is answered."""
    with running("--upstream", "demo", "--cell", "s/a/m/f/t", cwd=tmp_path) as (process, printed):
        url = re.search(r"listens on\s+(http://127\.0\.0\.1:\d+)", printed)
        assert url
        assert "forwards to  demo" in printed
        assert "ledger       cab-ledger" in printed
        assert f"OPENAI_BASE_URL={url[1]}/v1" in printed
        assert re.search(r"export OPENAI_API_KEY=eyJ", printed)
        answer = post(url[1], {"model": "demo", "messages": [{"role": "user", "content": "hi"}]})
        [end] = records(tmp_path / "cab-ledger")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert end["usage_raw"] == answer["usage"]
    assert end["cell_id"] == "s/a/m/f/t"
    assert [r["kind"] for r in records(tmp_path / "cab-ledger", "proxy_stop")] == ["proxy_stop"]


def test_the_control_api_s_socket_is_printed(tmp_path: Path) -> None:
    """Where the control API has an address of its own, it is printed."""
    with running("--upstream", "demo", cwd=tmp_path) as (_, printed):
        assert "control API" not in printed
    asked = ["--upstream", "demo", "--control-socket", "control.sock"]
    with running(*asked, cwd=tmp_path) as (_, printed):
        assert "          control API  unix:control.sock\n" in printed


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_control_api_is_found(tmp_path: Path, workers: str) -> None:
    """An address that was chosen is printed too."""
    asked = ["--upstream", "demo", "--workers", workers, "--control-socket", "control.sock"]
    with running(*asked, "--control-port", "0", cwd=tmp_path) as (_, printed):
        found = re.search(r"control API  (http://127\.0\.0\.1:\d+), unix:control\.sock\n", printed)
        assert found
        with urllib.request.urlopen(f"{found[1]}/cab/health", timeout=60) as answer:
            assert json.load(answer)["ledger_failure"] is None


def test_logs_in_a_pipe_are_json_and_hold_no_key(tmp_path: Path) -> None:
    """In a pipe every log line is JSON; no key is in the logs, the ledger or the output."""
    with running("--upstream", "demo", cwd=tmp_path, CAB_KEY=CANARY) as (process, printed):
        url = re.search(r"http://127\.0\.0\.1:\d+", printed)
        assert url
        post(url[0], {"model": "demo", "messages": [{"role": "user", "content": "hi"}]})
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stderr
        logged = process.stderr.read()
    lines = [json.loads(line) for line in logged.splitlines()]
    assert [line["event"] for line in lines] == ["started", "call", "stopped"]
    assert lines[1]["endpoint"] == "chat.completions"
    ledger = b"".join(f.read_bytes() for f in (tmp_path / "cab-ledger").glob("*.jsonl"))
    assert CANARY not in logged + printed + ledger.decode()


def test_logs_for_people_are_not_json(tmp_path: Path) -> None:
    """--log-format console writes lines for people."""
    with running("--upstream", "demo", "--log-format", "console", cwd=tmp_path) as (process, out):
        url = re.search(r"http://127\.0\.0\.1:\d+", out)
        assert url
        post(url[0], {"model": "demo", "messages": [{"role": "user", "content": "hi"}]})
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stderr
        assert "end_reason=completed" in process.stderr.read()


def test_help_and_version() -> None:
    """--help shows a flag for every setting, and exit codes; --version names the version."""
    done = run_command("cab-proxy", "--help", env=environment())
    assert done.returncode == 0
    shown = done.stdout
    flat = {name for name, field in ProxySettings.model_fields.items() if not is_nested(field)}
    assert {"--config", *map(flag_of, flat)} <= set(
        re.findall(r"^  (--[a-z-]+)", shown, re.MULTILINE)
    )
    assert shown.index("--upstream") < shown.index("--drain-max-s")
    assert "exit codes" in shown
    version = run_command("cab-proxy", "--version", env=environment())
    assert (version.returncode, version.stdout[:12]) == (0, "cab-proxy 0.")


@pytest.mark.parametrize(("auth", "warned"), [("open", True), ("keys", False)])
def test_the_start_says_that_limits_do_not_bind(auth: str, warned: bool, tmp_path: Path) -> None:
    """In open mode a warning names the setting that makes limits bind."""
    flags = ("--upstream", "http://127.0.0.1:9", "--auth", auth)
    with running(*flags, cwd=tmp_path, CAB_KEY=CANARY) as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stderr
        logged = process.stderr.read()
    assert ("auth_is_open" in logged and "auth = 'keys'" in logged) == warned
