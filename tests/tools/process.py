"""A proxy in a process of its own, whose memory can be looked at."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cab.proxy.cli.flags import flag_of
from tests.tools.proxy import WIRE

_MAIN = "import sys; from cab.proxy.cli.main import main; sys.exit(main())"
_LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({0}, {0})); "


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
    main = _MAIN if open_files is None else _LIMITED.format(open_files) + _MAIN
    wire = [word for name, value in WIRE.items() for word in (flag_of(name), str(value))]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", main, "--upstream", upstream, "--port", "0"),
        *("--ledger", str(folder / "ledger"), "--log-level", "error", *wire, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=stderr,
        env={**variables, **(env or {})},
    )
    assert process.stdout
    try:
        async with asyncio.timeout(30):
            printed = b""
            while b"API_KEY" not in printed:
                line = await process.stdout.readline()
                assert line, printed
                printed += line
        found = re.search(rb"listens on\s+(https?://\S+)", printed)
        assert found
        yield ProxyProcess(found[1].decode(), process.pid)
    finally:
        process.terminate()
        async with asyncio.timeout(30):
            assert await process.wait() == 0
