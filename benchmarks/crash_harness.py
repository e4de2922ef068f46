"""The crash harness: a real proxy in a process of its own, its load, and the results of what came of it."""

import argparse
import asyncio
import contextlib
import os
import random
import re
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import orjson
from crash_check import LedgerState, check, read_ledger
from crash_load import Clients, Seen

MAIN = "import sys; from cab.proxy.cli.main import main; sys.exit(main())"
SLOW = "import os, time; r = os.fdatasync; os.fdatasync = lambda f: (time.sleep({s}), r(f))[1]; "


@dataclass
class Results:
    """What is printed."""

    scenario: str
    rounds: int = 0
    kills: int = 0
    kills_while_starting: int = 0
    kills_while_compressing: int = 0
    answers_complete_at_clients: int = 0
    answers_broken_off: int = 0
    refused_with_503: int = 0
    starts: int = 0
    ends: int = 0
    crash_ends: int = 0
    torn_lines: int = 0
    late_records: int = 0
    lost_records: int = 0
    segments: int = 0
    tokens_in_ledger: int = 0
    tokens_at_endpoint: int = 0
    """Of the same calls."""
    longest_start_s: float = 0.0
    """From the start of the process until it takes calls: imports, recovery, reading the ledger."""
    largest_rss_mb: float = 0.0
    violations: list[str] = field(default_factory=list[str])


class Proxy:
    """The real command in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path, began_s: float) -> None:
        self.process = process
        self._log = log
        self.url = ""
        self.start_s = 0.0
        self._began_s = began_s

    async def ready(self) -> None:
        """Wait until it says where it listens."""
        assert self.process.stdout
        printed = b""
        while b"API_KEY" not in printed:
            line = await self.process.stdout.readline()
            if not line:
                raise RuntimeError(f"cab-proxy ended: {printed!r}; {self._log.read_text()[-2000:]}")
            printed += line
        found = re.search(rb"listens on\s+(http://\S+)", printed)
        assert found
        self.url, self.start_s = found[1].decode(), time.monotonic() - self._began_s

    def peak_mb(self) -> float:
        """Return the most memory that it ever held."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+)", status)
        return int(found[1]) / 1024 if found else 0.0

    async def kill(self) -> None:
        """End it with SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    async def terminate(self) -> int:
        """End it with SIGTERM and return its exit code."""
        self.process.terminate()
        return await self.process.wait()


class Harness:
    """One scenario: an endpoint, clients, a folder for ledgers, and what came of it."""

    def __init__(self, options: argparse.Namespace, folder: Path, endpoint: str) -> None:
        self.options = options
        self.folder = folder
        self.endpoint = endpoint
        self.random = random.Random(options.seed)
        self.results = Results(options.scenario)
        self.seen = Seen()
        self.ledger = folder / "ledger"
        self.clients = Clients(self.seen, options.clients, self.random)

    async def start(self, *, slow_s: float = 0, **settings: object) -> Proxy:
        """Start a proxy on the ledger; it is not ready yet."""
        values = {"segment_max_bytes": self.options.segment_bytes, "min_free_bytes": 0, **settings}
        config = self.folder / "cab.toml"
        config.write_bytes(b"".join(b"%s = %s\n" % _toml(item) for item in values.items()))
        log = (self.folder / "proxy.log").open("ab")  # on the same disk: it fills up as well
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", (SLOW.format(s=slow_s) if slow_s else "") + MAIN),
            *("--config", str(config), "--upstream", self.endpoint, "--port", "0"),
            *("--ledger", str(self.ledger), "--cell", "s/t/m/f/t", "--log-level", "error"),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env={k: v for k, v in os.environ.items() if not k.startswith("CAB_")},
        )
        log.close()
        return Proxy(process, self.folder / "proxy.log", time.monotonic())

    @asynccontextmanager
    async def running(self, *, slow_s: float = 0, **settings: object) -> AsyncGenerator[Proxy]:
        """Start a proxy and wait until it is ready; on leaving it is surely gone."""
        proxy = await self.start(slow_s=slow_s, **settings)
        try:
            await proxy.ready()
            self.results.longest_start_s = max(
                self.results.longest_start_s, round(proxy.start_s, 2)
            )
            yield proxy
        finally:
            await proxy.kill()

    async def check(self, *, lost: int = 0) -> LedgerState:
        """Compare the ledger with clients and endpoint."""
        state = await asyncio.to_thread(read_ledger, self.ledger)
        self.results.violations += check(state, self.seen, await self.account(), lost=lost)
        return state

    async def account(self) -> dict[str, list[int]]:
        """Return what the endpoint stated, by request."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.endpoint}/account") as answer,
        ):
            return dict(orjson.loads(await answer.read()))

    async def conclude(self) -> None:
        """Add what is in this ledger to the results, and go on with a fresh one."""
        state, results = await asyncio.to_thread(read_ledger, self.ledger), self.results
        account = await self.account()
        results.starts += len(state.of_kind("start"))
        results.ends += len(state.of_kind("end"))
        for end in state.of_kind("end"):
            results.crash_ends += end["end_reason"] == "crash"
            if end["end_reason"] == "completed":
                results.tokens_in_ledger += end["total_tokens"]
                results.tokens_at_endpoint += sum(account[end["upstream_id"]])
        for report in state.of_kind("recovery"):
            results.late_records += report.get("late_records", 0)
            results.lost_records += report.get("lost_records", 0)
            results.torn_lines += bool(report.get("torn_bytes"))
        results.segments += sum(".jsonl" in path.name for path in self.ledger.iterdir())
        results.answers_complete_at_clients += len(self.seen.complete)
        results.answers_broken_off += self.seen.broken
        results.refused_with_503 += len(self.seen.refused)
        self.seen = Seen()
        self.clients = Clients(self.seen, self.options.clients, self.random)
        self.ledger = self.folder / f"ledger-{self.results.rounds}"

    def note_memory(self, proxy: Proxy) -> None:
        """Keep the largest of what proxies ever held."""
        self.results.largest_rss_mb = max(self.results.largest_rss_mb, round(proxy.peak_mb(), 1))

    def delay_s(self) -> float:
        """Return a random time within a round."""
        return self.random.uniform(0.02, self.options.seconds)


def _toml(item: tuple[str, object]) -> tuple[bytes, bytes]:
    return item[0].encode(), orjson.dumps(item[1])
