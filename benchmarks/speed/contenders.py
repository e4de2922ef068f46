"""Who is compared: each started beside the others, before the same endpoint."""

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import NamedTuple

import orjson
import trustme

from benchmarks.programs import PROXY, free_port, process, server
from benchmarks.speed.load import Measured
from cab.scoring import iter_calls, verify_ledger

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NGINX_MODULES = Path("/usr/lib/nginx/modules")
_LIMITS = (
    "--max-calls 1000000000 --max-tokens 1000000000000 --max-concurrency 100000 --model bench-*"
)
_SLOTS = "--slot-wait-s 600"
"""500 streams are more than some slots; none may wait for one in vain."""


class NotInstalled(Exception):
    """A contender is not on this machine."""


class Endpoint(NamedTuple):
    """The endpoint that all stand before."""

    port: int
    tls_port: int
    authority: Path
    """Certificate that vouches for it."""
    certificate: Path
    """Certificate and key of this machine, for whoever listens with TLS."""


@dataclass
class Contender:
    """A contender that runs."""

    port: int
    roots: tuple[int, ...] = ()
    start_s: float | None = None
    ledger: Path | None = None
    key: str = "any"
    headers: dict[str, str] = field(default_factory=dict[str, str])
    authority: Path | None = None
    """Certificate that vouches for it; None: it speaks HTTP without TLS."""
    answers: int = 0
    """What clients got through it so far."""
    tokens: int = 0

    def add(self, measured: Measured) -> None:
        """Note what clients got."""
        self.answers += measured.answers
        self.tokens += measured.tokens

    def check(self) -> None:
        """Compare the ledger of a proxy that has stopped with what clients got.

        Raises:
            RuntimeError: A record is missing or one too many, a count differs, or the ledger does not verify.
        """
        if self.ledger is None:
            return
        calls = records = tokens = 0
        for call in iter_calls(self.ledger):
            records += 1
            calls += call.end_reason == "completed"
            tokens += call.total_tokens or 0
        if (records, calls, tokens) != (self.answers, self.answers, self.tokens):
            raise RuntimeError(
                f"{self.answers} answers of {self.tokens} tokens at the clients;"
                f" {records} records, {calls} completed, {tokens} tokens in {self.ledger}"
            )
        verify(self.ledger)


Start = Callable[[Endpoint, Path], AbstractContextManager[Contender]]


def verify(ledger: Path) -> None:
    """Do what `cab ledger verify` does.

    Raises:
        RuntimeError: The ledger does not hold.
    """
    found = verify_ledger(ledger)
    if found.exit_code:
        raise RuntimeError(f"{ledger} does not hold: {found.faults[:3]} {found.not_checked}")


@contextlib.contextmanager
def running_endpoint(folder: Path) -> Iterator[Endpoint]:
    """Run the endpoint, with TLS on a second port."""
    authority, own = folder / "authority.pem", folder / "endpoint.pem"
    issuer = trustme.CA()
    issuer.cert_pem.write_to_path(str(authority))
    issuer.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(
        str(own)
    )
    command = [sys.executable, "-m", "benchmarks.speed.endpoint", "--certificate", str(own)]
    with process(command, r"ports (\d+ \d+)") as ports:
        port, tls_port = map(int, ports.split())
        yield Endpoint(port, tls_port, authority, own)


@contextlib.contextmanager
def direct(endpoint: Endpoint, _: Path) -> Iterator[Contender]:
    """No proxy at all."""
    yield Contender(endpoint.port)


@contextlib.contextmanager
def bare(endpoint: Endpoint, folder: Path) -> Iterator[Contender]:
    """A proxy of aiohttp that only passes bytes on."""
    port = free_port()
    command = [sys.executable, str(HERE / "bare.py")]
    options = ["--port", str(port), "--upstream", str(endpoint.port)]
    with server([*command, *options], port, folder) as running:
        yield Contender(port, (running.pid,), running.start_s)


def nginx(*, lua: bool = False, tls: bool = False, listens_tls: bool = False) -> Start:
    """Return how to start nginx, with the meter in Lua or without, with TLS to the endpoint or the clients."""

    @contextlib.contextmanager
    def start(endpoint: Endpoint, folder: Path) -> Iterator[Contender]:
        program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
        lua_module = NGINX_MODULES / "ngx_http_lua_module.so"
        if program is None or (lua and not lua_module.exists()):
            raise NotInstalled
        port, meter, modules = free_port(), "", ""
        if lua:
            modules = f"load_module {NGINX_MODULES}/ndk_http_module.so; load_module {lua_module};"
            meter = 'rewrite_by_lua_block { require("meter").request() } '
            meter += 'body_filter_by_lua_block { require("meter").response() } '
            meter += 'log_by_lua_block { require("meter").log() }'
        own = endpoint.certificate.resolve()
        text = Template((HERE / "nginx.conf").read_text()).substitute(
            modules=modules,
            lua_cpath=f'lua_package_path "{HERE}/?.lua;;";' if lua else "",
            port=port,
            endpoint=endpoint.tls_port if tls else endpoint.port,
            scheme="https" if tls else "http",
            meter=meter,
            tls="ssl" if listens_tls else "",
            certificate=f"ssl_certificate {own}; ssl_certificate_key {own};" if listens_tls else "",
        )
        (folder / "nginx.conf").write_text(text)
        command = [program, "-p", f"{folder.resolve()}/", "-c", "nginx.conf", "-e", "nginx.log"]
        with server(command, port, folder) as running:
            authority = endpoint.authority if listens_tls else None
            yield Contender(port, (running.pid,), running.start_s, authority=authority)

    return start


def cab(
    *settings: str,
    workers: int = 1,
    keys: bool = False,
    tls: bool = False,
    listens_tls: bool = False,
) -> Start:
    """Return how to start our proxy, as it is set by default but for what is told here.

    Args:
        settings: More flags.
        workers: Processes.
        keys: With a cell key that has limits, and a log line for each call; without, only warnings are logged.
        tls: To the endpoint.
        listens_tls: With the clients.
    """

    @contextlib.contextmanager
    def start(endpoint: Endpoint, folder: Path) -> Iterator[Contender]:
        port, ledger, signing = free_port(), folder / "ledger", folder / "signing.key"
        upstream = f"http://127.0.0.1:{endpoint.port}"
        config = folder / "cab.toml"
        config.touch()
        if tls:
            upstream = f"https://127.0.0.1:{endpoint.tls_port}"
            route = {"models": ["*"], "upstream": upstream, "ca_file": str(endpoint.authority)}
            lines = [f"{name} = {orjson.dumps(value).decode()}" for name, value in route.items()]
            config.write_text("\n".join(["[[routes]]", *lines]))
        signing.write_text(f"bench:{'k' * 43}\n")
        signing.chmod(0o600)
        contender = Contender(port, ledger=ledger, key=_mint(signing) if keys else "any")
        contender.authority = endpoint.authority if listens_tls else None
        command = [
            *(*PROXY, "--config", config.name, "--upstream", upstream, "--port", str(port)),
            *("--workers", str(workers), "--ledger", ledger.name),
            *("--signing-key-file", signing.name, "--log-level", "info" if keys else "warning"),
            *(("--auth", "keys", *_SLOTS.split()) if keys else ()),
            *(("--tls-cert-file", str(endpoint.certificate.resolve())) if listens_tls else ()),
            *settings,
        ]
        with server(command, port, folder) as running:
            contender.roots, contender.start_s = (running.pid,), running.start_s
            yield contender

    return start


def _mint(signing: Path) -> str:
    main = "import sys; from cab.adapters.cli import main; sys.exit(main())"
    options = ["--cell", "bench/load/bench-model/f/t", "--ttl", "24h", *_LIMITS.split()]
    command = [sys.executable, "-c", main, "keys", "mint", "--signing-key-file", str(signing)]
    return subprocess.run(
        [*command, *options], capture_output=True, text=True, check=True
    ).stdout.strip()


@contextlib.contextmanager
def litellm(endpoint: Endpoint, folder: Path) -> Iterator[Contender]:
    """LiteLLM's proxy, if `litellm` is on the PATH."""
    program, port = shutil.which("litellm"), free_port()
    if program is None:
        raise NotInstalled
    base = f"http://127.0.0.1:{endpoint.port}/v1"
    model = {"model": "openai/bench-model", "api_base": base, "api_key": "any"}
    key = f"sk-{secrets.token_hex(16)}"  # it does not start without one
    config = {
        "model_list": [{"model_name": "bench-model", "litellm_params": model}],
        "general_settings": {"master_key": key},
    }
    (folder / "litellm.yaml").write_bytes(orjson.dumps(config))
    command = [program, "--config", "litellm.yaml", "--host", "127.0.0.1", "--port", str(port)]
    with server(command, port, folder) as running:
        yield Contender(port, (running.pid,), running.start_s, key=key)


@contextlib.contextmanager
def portkey(endpoint: Endpoint, folder: Path) -> Iterator[Contender]:
    """Portkey's gateway, if npm has installed it for everybody."""
    npm, port = shutil.which("npm"), free_port()
    globals_ = subprocess.check_output([npm, "root", "-g"], text=True).strip() if npm else ""
    script = Path(globals_) / "@portkey-ai/gateway/build/start-server.js"
    if not npm or not script.exists():
        raise NotInstalled
    headers = {
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://127.0.0.1:{endpoint.port}/v1",
    }
    with server(["node", str(script), f"--port={port}", "--headless"], port, folder) as running:
        yield Contender(port, (running.pid,), running.start_s, headers=headers)


CONTENDERS: dict[str, Start] = {
    "direct": direct,
    "bare": bare,
    "nginx": nginx(),
    "nginx + Lua": nginx(lua=True),
    "LiteLLM": litellm,
    "Portkey": portkey,
    "cab": cab(),
    "cab, 2 workers": cab(workers=2),
    "cab, keys": cab(keys=True),
    "cab, keys, 2 workers": cab(keys=True, workers=2),
    "nginx, TLS upstream": nginx(tls=True),
    "cab, TLS upstream": cab(tls=True),
    "nginx, TLS listener": nginx(listens_tls=True),
    "cab, TLS listener": cab(listens_tls=True),
}
