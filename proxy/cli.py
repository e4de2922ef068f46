"""The command `cab-proxy`."""

import argparse
import asyncio
import importlib.metadata
import os
import signal
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, NoReturn

from cab.proxy.app import running_proxy, secrets_from
from cab.proxy.config import ProxySettings, load_settings
from cab.proxy.errors import CabProxyError
from cab.proxy.handle import RunningProxy
from cab.proxy.logs import configure_logs
from cab.proxy.workers.supervisor import running_workers

_DESCRIPTION = """\
Meter every model call between coding agents and an OpenAI-compatible endpoint.

The proxy passes bytes on unchanged in both directions and writes an audit
record for each call. Agents get its address instead of the endpoint's; the
endpoint's key stays here.
"""

_EPILOG = """\
environment:
  CAB_KEY           the endpoint's key; without it the agents' own keys pass
  CAB_SIGNING_KEY   signs cell keys; without it one is kept beside the ledger
  CAB_ADMIN_TOKEN   what the control API's admin sends; without it there is none

examples:
  cab-proxy --upstream demo                        a first look, no key, no network
  CAB_KEY=... cab-proxy --upstream https://host/v1
  cab-proxy --upstream URL --cell my-sweep/aider/gpt-5/polyglot/rust-error-handling

exit codes: 0 done, 2 wrong usage or configuration
"""


class OneLineParser(argparse.ArgumentParser):
    """A parser whose errors are one line that names the mend."""

    def error(self, message: str) -> NoReturn:
        """Print the error and leave with exit code 2."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of `cab-proxy`; flags that were not given are absent from its result."""
    parser = OneLineParser(
        prog="cab-proxy",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument("--upstream", metavar="URL", help="the endpoint, or 'demo'")
    parser.add_argument("--host", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on, 0 for a free one (31415)")
    parser.add_argument("--workers", type=int, metavar="N", help="processes on the port (1)")
    parser.add_argument("--ledger", type=Path, metavar="DIR", help="audit log (./cab-ledger)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file; flags win over it")
    parser.add_argument("--cell", metavar="ID", help="cell of every call without a cell key")
    parser.add_argument("--auth", choices=["open", "keys"], help="keys: refuse calls without one")
    parser.add_argument(
        "--allow-open", action="store_true", help="listen beyond loopback without --auth keys"
    )
    parser.add_argument(
        "--ack",
        choices=["end", "none"],
        help="end (default): an answer ends only after its record is on disk",
    )
    parser.add_argument(
        "--on-disconnect",
        choices=["drain", "cancel"],
        help="client gone: drain (default) reads on for the usage, cancel stops the spend",
    )
    parser.add_argument("--log-level", choices=["debug", "info", "warning", "error"])
    parser.add_argument("--log-format", choices=["auto", "console", "json"])
    version = importlib.metadata.version("coding-agent-bench")
    parser.add_argument("--version", action="version", version=f"cab-proxy {version}")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run `cab-proxy` and return its exit code."""
    flags: dict[str, Any] = vars(make_parser().parse_args(argv))
    try:
        settings = load_settings(flags.pop("config", None), flags)
        configure_logs(settings.log_level, settings.log_format)
        asyncio.run(_serve(settings))
    except CabProxyError as error:
        print(f"cab-proxy: {error}", file=sys.stderr)  # noqa: T201 - the one line of an error
        return 2
    return 0


async def _serve(settings: ProxySettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with _running(settings) as proxy:
        print(banner(proxy, settings), flush=True)  # noqa: T201 - what a person pastes
        await stop.wait()


def _running(settings: ProxySettings) -> AbstractAsyncContextManager[RunningProxy]:
    secrets = secrets_from(os.environ, settings)
    if settings.workers > 1:
        return running_workers(settings, **secrets)
    return running_proxy(settings, **secrets)


def banner(proxy: RunningProxy, settings: ProxySettings) -> str:
    """Return what is printed at start: where, whereto, the ledger, and two lines to paste."""
    key = proxy.mint_key(settings.cell, ttl_s=86_400) if settings.cell else "any-text"
    if settings.auth == "keys" and not settings.cell:
        key = "<the cell's key>"
    upstream = "demo (built-in model server)" if proxy.demo else proxy.upstream_url
    lines = [
        f"cab-proxy listens on   {proxy.url}",
        f"          forwards to  {upstream}",
        f"          ledger       {proxy.ledger_dir}",
    ]
    if settings.cell:
        lines.append(f"          cell         {settings.cell}")
    lines += [
        "",
        "Paste into the agent's shell:",
        f"  export OPENAI_BASE_URL={proxy.url}/v1 OPENAI_API_BASE={proxy.url}/v1",
        f"  export OPENAI_API_KEY={key}",
        "",
    ]
    return "\n".join(lines)
