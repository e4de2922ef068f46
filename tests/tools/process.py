"""A proxy in a process of its own, whose memory can be looked at."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE

from cab.proxy.cli.flags import flag_of
from tests.tools.commands import start_command
from tests.tools.proxy import WIRE


@dataclass(frozen=True)
class ProxyProcess:
    """A running `cab-proxy`."""

    url: str
    pid: int

    def resident_bytes(self, kind: str = "VmRSS") -> int:
        """Return how much memory it holds, or with `VmHWM` the most that it ever held."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(rf"^{kind}:\s+(\d+) kB$", status, re.MULTILINE)
        assert found
        return int(found[1]) << 10


@asynccontextmanager
async def proxy_process(
    upstream: str,
    folder: Path,
    *arguments: str,
    open_files: int | None = None,
    stderr: int | None = None,
    env: Mapping[str, str] | None = None,
) -> AsyncGenerator[ProxyProcess]:
    """Run `cab-proxy` on a free port and the test's wire; it is ended by SIGTERM and must leave with 0.

    Args:
        upstream: The endpoint.
        folder: Its ledger is made in there.
        *arguments: Further flags.
        open_files: How many descriptors it may have.
        stderr: Takes its standard error.
        env: Variables that it has beside those of this process.
    """
    variables = {k: v for k, v in os.environ.items() if not k.startswith("CAB_")}
    wire = [word for name, value in WIRE.items() for word in (flag_of(name), str(value))]
    with start_command(
        *("cab-proxy", "--upstream", upstream, "--port", "0", "--ledger", folder / "ledger"),
        *("--log-level", "error", *wire, *arguments),
        env={**variables, **(env or {})},
        stdout=PIPE,
        stderr=stderr,
        open_files=open_files,
    ) as process:
        assert process.stdout
        printed = ""
        while "API_KEY" not in printed:
            line = await asyncio.to_thread(process.stdout.readline)
            assert line, printed
            printed += line
        found = re.search(r"listens on\s+(https?://\S+)", printed)
        assert found
        try:
            yield ProxyProcess(found[1], process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 30) == 0
