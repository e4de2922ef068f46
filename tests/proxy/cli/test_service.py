"""`cab-proxy` below a service manager: its messages, its sockets, SIGHUP; and the check of a configuration."""

import asyncio
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cab.proxy.accounting.prices import with_prices_read
from cab.proxy.app import ProxySecrets, running_proxy
from cab.proxy.cli.banner import banner, summary
from cab.proxy.cli.check_config import checked
from cab.proxy.config import parse_settings
from cab.proxy.errors import BadConfig
from tests.proxy.cli.test_main import environment, running
from tests.tools.client import post
from tests.tools.commands import StartedCommand, run_command
from tests.tools.dialects import BY_ENDPOINT
from tests.tools.proxy import records
from tests.tools.upstream import ScriptedUpstream, json_answer, scripted_upstream

CHAT = BY_ENDPOINT["chat.completions"]
ANSWER = [json_answer(CHAT.answer)]
ACTIVATED = (
    sys.executable,
    "-c",
    "import os, sys; os.dup2(int(sys.argv.pop(1)), 3); os.environ['LISTEN_PID'] = str(os.getpid()); "
    "from cab.proxy.cli.main import main; sys.exit(main())",
)


def url_in(printed: str) -> str:
    found = re.search(r"listens on\s+(https?://\S+)", printed)
    assert found
    return found[1]


class Log:
    """The log of a process, read as it comes."""

    def __init__(self, process: StartedCommand) -> None:
        self._lines: deque[dict[str, object]] = deque()
        self._more = threading.Condition()
        self._process = process
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stderr
        for line in self._process.stderr:
            with self._more:
                self._lines.append(json.loads(line))
                self._more.notify_all()

    async def next(self, *events: str) -> dict[str, object]:
        """Return the next line with one of these events."""
        return await asyncio.to_thread(self._next, events)

    def _next(self, events: tuple[str, ...]) -> dict[str, object]:
        with self._more:
            while True:
                while self._lines:
                    line = self._lines.popleft()
                    if line["event"] in events:
                        return line
                assert self._more.wait(60)


@pytest.mark.parametrize("workers", [1, 2])
async def test_hangup_reloads(workers: int, tmp_path: Path) -> None:
    """Routes, keys and levels are new for the next call; what needs a restart is named; a bad file changes nothing."""
    config, key = tmp_path / "cab.toml", tmp_path / "endpoint.key"
    key.write_text("first-canary-key")
    async with scripted_upstream(ANSWER) as one, scripted_upstream(ANSWER) as other:
        usual = f'upstream = "{one.url}"\nworkers = {workers}\n'
        config.write_text(usual)
        with running(
            "--config", str(config), "--key-file", str(key), cwd=tmp_path, CAB_OTHER="third-canary"
        ) as (process, printed):
            log, url = Log(process), url_in(printed)

            async def reloaded(text: str) -> dict[str, object]:
                config.write_text(text)
                process.send_signal(signal.SIGHUP)
                return await log.next("reloaded", "reload_refused")

            async def called(model: str, endpoint: ScriptedUpstream) -> str | None:
                number = len(endpoint.received)
                body = {**CHAT.request, "model": model}
                # Each on a connection of its own: of several workers any may get it.
                for _ in range(3 * workers):
                    seen = await post(url, CHAT.path, body, "Connection: close")
                    assert seen.status == 200
                assert len(endpoint.received) == number + 3 * workers
                [header] = {each.header("Authorization") for each in endpoint.received[number:]}
                return header

            assert await called("m", one) == "Bearer first-canary-key"
            key.write_text("second-canary-key")
            route = (
                f'[[routes]]\nmodels = ["gpt-*"]\nupstream = "{other.url}"\nkey_env = "CAB_OTHER"\n'
            )
            line = await reloaded(f'{usual}ack = "none"\ngrace_s = 7\n{route}')
            assert (line["event"], line["needs_restart"]) == ("reloaded", "ack")
            assert line["changed"] == "routes, grace_s"
            assert await called("gpt-5", other) == "Bearer third-canary"
            assert await called("m", one) == "Bearer second-canary-key"
            for wrong in ("grace_s = 0\n", "ca_file = 'none.pem'\nupstream = 'https://h'\n", "x"):
                line = await reloaded(f"workers = {workers}\n{wrong}")
                assert line["event"] == "reload_refused"
            assert await called("gpt-5", other) == "Bearer third-canary"
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
    ends = records(tmp_path / "cab-ledger")
    assert len(ends) == 12 * workers
    assert {end["end_reason"] for end in ends} == {"completed"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"upstream": "http://127.0.0.1:9"}, "by the endpoint alone; prices_file adds a table"),
        (
            {"upstream": "https://api.openai.com/v1", "provider": "none", "prices_file": "p.toml"},
            "by the endpoint, then the operator's table acme@",
        ),
        ({"upstream": "http://127.0.0.1:9", "provider": "openai"}, "by the endpoint, then genai-"),
    ],
)
def test_it_is_said_who_prices_calls(
    values: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The banner and `--check-config` name them in the order in which they are asked."""
    monkeypatch.chdir(tmp_path)
    Path("p.toml").write_text('name = "acme"\n[models.m]\ninput = 1\noutput = 1\n')
    settings = with_prices_read(parse_settings(values, "x"))
    lines = list(summary(settings, {}, values["upstream"]))
    assert any(f" prices       {said}" in line for line in lines)


@contextmanager
def manager_at(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(path))
        bound.settimeout(60)
        yield bound


def test_the_service_manager_is_told(tmp_path: Path) -> None:
    """Ready once calls are taken, alive while the loop turns, reloading and ready again, stopping."""
    with manager_at(tmp_path / "notify") as told:
        variables = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"}
        flags = ("--upstream", "demo", "--workers", "1")

        def until(first: str) -> list[str]:
            while True:
                lines = told.recv(4096).decode().split("\n")
                if lines[0] == first:
                    return lines

        with running(*flags, cwd=tmp_path, **variables) as (process, printed):
            assert until("READY=1") == ["READY=1", f"STATUS=listens on {url_in(printed)}"]
            until("WATCHDOG=1")
            process.send_signal(signal.SIGHUP)
            [_, clock] = until("RELOADING=1")
            assert re.fullmatch(r"MONOTONIC_USEC=\d+", clock)
            assert until("READY=1") == ["READY=1", "STATUS=reloaded"]
            until("WATCHDOG=1")
            # A loop that does not turn says nothing: what was said before it was stopped is all there is.
            process.send_signal(signal.SIGSTOP)
            while "State:\tT" not in Path(f"/proc/{process.pid}/status").read_text():
                os.sched_yield()
            while select.select([told], [], [], 0)[0]:
                told.recv(4096)
            assert not select.select([told], [], [], 0.3)[0]
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGTERM)
            until("STOPPING=1")
            assert process.wait(60) == 0


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_calls_come_on_the_service_manager_s_socket(workers: str, tmp_path: Path) -> None:
    """It listens before the proxy runs: what comes meanwhile waits in it, and is answered."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        address = bound.getsockname()
        with socket.create_connection(address, timeout=60) as client:
            client.sendall(b"GET /cab/health/live HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            words = [*ACTIVATED, str(bound.fileno()), "--upstream", "demo", "--workers", workers]
            with subprocess.Popen(
                words,
                cwd=tmp_path,
                env=environment(LISTEN_FDS="1"),
                stdout=subprocess.PIPE,
                text=True,
                pass_fds=(bound.fileno(),),
            ) as process:
                try:
                    assert client.recv(99).startswith(b"HTTP/1.1 200 OK\r\n")
                    process.send_signal(signal.SIGTERM)
                    printed, _ = process.communicate(timeout=60)
                    assert process.returncode == 0
                finally:
                    process.kill()
    assert url_in(printed) == f"http://127.0.0.1:{address[1]}"


@pytest.mark.parametrize(
    ("address", "why"),
    [(None, "it is not a TCP socket that listens"), ("0.0.0.0", "can be reached from other")],
)
def test_a_socket_that_cannot_be_used_is_named(
    address: str | None, why: str, tmp_path: Path
) -> None:
    """One that is no listener, and one that everybody can reach though calls need no key."""
    with socket.create_server((address, 0)) if address else socket.socket() as bound:
        done = subprocess.run(
            [*ACTIVATED, str(bound.fileno()), "--upstream", "demo"],
            cwd=tmp_path,
            env=environment(LISTEN_FDS="1"),
            capture_output=True,
            text=True,
            pass_fds=(bound.fileno(),),
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr


def test_a_configuration_is_checked(tmp_path: Path) -> None:
    """What would be done is said, without a key; nothing is made, and no endpoint is asked."""
    flags = ("--check-config", "--upstream", "https://host.invalid/v1", "--auth", "keys")
    env = environment(CAB_KEY="sk-canary-0123456789")
    done = run_command("cab-proxy", *flags, cwd=tmp_path, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    printed = done.stdout
    assert "would listen on 127.0.0.1 port 31415 (http), workers: 1" in printed
    assert "would write the ledger cab-ledger, state folder" in printed
    assert "forwards to  https://host.invalid/v1 (CAB_KEY is set)" in printed
    assert "calls need   a key of a cell (auth = keys)" in printed
    assert "canary" not in printed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"upstream": "https://h", "ca_file": "none.pem"}, "ca_file none.pem cannot be used"),
        ({"upstream": "demo", "tls_cert_file": "none.pem"}, "none.pem cannot be read"),
        ({"upstream": "demo", "tls_cert_file": "pipe"}, "tls_cert_file pipe is a pipe"),
        ({"upstream": "https://h", "ca_file": "pipe"}, "ca_file pipe is a pipe"),
        ({"upstream": "demo", "signing_key_file": "file"}, "fewer than 32 bytes"),
        ({"upstream": "demo", "ledger": "file/x"}, "file is not a folder"),
        ({"upstream": "demo", "seal_key_file": "none"}, "seal_key_file none cannot be read"),
        ({"upstream": "demo", "metrics_token_file": "none"}, "metrics_token_file none cannot be"),
        ({"upstream": "demo", "metrics_token_file": "file"}, "fewer than 16 bytes"),
        ({"upstream": "demo", "control_socket": "x" * 108}, "more than 107 bytes"),
        ({"upstream": "demo", "control_socket": "none/s"}, "its folder is missing"),
        ({"upstream": "demo", "control_socket": "file"}, "it is there, and is not a socket"),
        ({"replay": "none"}, "replay: none: holds no capture"),
    ],
)
async def test_a_configuration_that_would_not_start(
    values: dict[str, str], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault is named."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("short")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadConfig, match=why):
        await checked(parse_settings(values, "x"), {}, ask=False)


async def test_a_receiver_that_could_not_be_verified(tmp_path: Path) -> None:
    """A check finds it, as a start does."""
    settings = parse_settings({"upstream": "demo", "ledger": str(tmp_path / "ledger")}, "x")
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector.invalid"}
    otel = {**endpoint, "OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / "none.pem")}
    with pytest.raises(BadConfig, match="OTEL_EXPORTER_OTLP_CERTIFICATE"):
        await checked(settings, {"otel": otel}, ask=False)


async def test_the_routes_of_a_replay_need_no_keys(tmp_path: Path) -> None:
    """No endpoint is asked, so a check asks for no key either, as a start does."""
    route = {"models": ["m"], "upstream": "http://other.invalid", "key_env": "OTHER_KEY"}
    values = {"replay": str(tmp_path / "none"), "ledger": str(tmp_path / "new"), "routes": [route]}
    with pytest.raises(BadConfig, match="holds no capture"):
        await checked(parse_settings(values, "x"), {}, ask=True)


async def test_the_endpoints_are_asked(tmp_path: Path) -> None:
    """Each is asked for its models with its key; one that refuses the key, or is not there, is a fault."""
    refused, key = json_answer({"error": "no"}, "401 Unauthorized"), "sk-canary-0123456789"
    async with scripted_upstream([json_answer({"data": []})], [refused]) as upstream:
        values = {"upstream": upstream.url, "ledger": str(tmp_path / "ledger")}
        settings = parse_settings(values, "x")
        lines = await checked(settings, {"upstream_key": key}, ask=True)
        assert lines[-1].endswith("answers (status 200)")
        with pytest.raises(BadConfig, match=r"refuses CAB_KEY \(401\)"):
            await checked(settings, {"upstream_key": key}, ask=True)
    gone = settings.model_copy(update={"upstream": "http://127.0.0.1:9"})
    with pytest.raises(BadConfig, match="the endpoint cannot be asked"):
        await checked(gone, {"upstream_key": key}, ask=True)
    assert upstream.received[0].target == "/v1/models"
    assert upstream.received[0].header("Authorization") == f"Bearer {key}"


@pytest.mark.parametrize(
    ("values", "key", "pasted", "said"),
    [
        ({}, "sk-canary-0123456789", "any-text", "(CAB_KEY is set)"),
        ({}, None, "<the endpoint's key>", "agents need none"),
        ({"upstream": "http://127.0.0.1:9"}, None, "any-text", "(CAB_KEY is not set"),
        ({"auth": "keys"}, "sk-canary-0123456789", "<the cell's key>", "cab keys mint --cell ID"),
        ({"auth": "keys"}, None, "<the cell's key>", "an endpoint that needs a key answers 401"),
        ({"cell": "s/a/m/f/t"}, None, "<the endpoint's key>", "CAB_KEY is not set"),
    ],
)
async def test_what_is_to_be_pasted_works(
    values: dict[str, str], key: str | None, pasted: str, said: str, tmp_path: Path
) -> None:
    """The banner says which keys are set, and never proposes one that the endpoint would refuse."""
    route = {"models": ["gpt-*"], "upstream": "http://other.invalid", "key_env": "OTHER_KEY"}
    given = {"upstream": "http://host.invalid", "port": 0, "ledger": tmp_path / "ledger", **values}
    settings = parse_settings({**given, "routes": [route], "max_connections": 40}, "x")
    secrets: ProxySecrets = {
        "upstream_key": key,
        "route_keys": {"OTHER_KEY": "sk-canary-9876543210"},
    }
    async with running_proxy(settings, **secrets) as proxy:
        printed = banner(proxy, settings, secrets)
    assert printed.endswith(f"export OPENAI_API_KEY={pasted}\n")
    assert said in printed
    assert "route        gpt-* -> http://other.invalid (OTHER_KEY is set)" in printed
    assert "prices       by the endpoint, then genai-prices\n" in printed
    assert "40 connections" in printed
    assert "canary" not in printed
