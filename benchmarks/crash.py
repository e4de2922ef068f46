"""Kills the proxy under load, again and again, and compares its ledger with clients and endpoint.

    python benchmarks/crash.py --rounds 200 --seconds 2
    python benchmarks/crash.py --scenario term|full|full-open|limit|readonly|slow|writers

After each kill the proxy is started again on the same ledger, which recovers it. Then: the chain holds;
each answer that a client got whole has its END; each START has one END; all tokens are those that the
endpoint stated. Prints one JSON object with the results; exit code 1 if anything does not hold.
"""

import argparse
import asyncio
import contextlib
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import aiohttp
import orjson
from crash_check import read_ledger
from crash_harness import MAIN, Harness, Proxy, Results
from crash_load import running_endpoint

ROUNDS_PER_LEDGER = 10
"""Every check reads the whole ledger: a fresh one now and then keeps that short."""
SMALL_DISK = "12m"
OWN_DISK = {"full", "full-open", "readonly"}


async def kill(harness: Harness) -> None:
    """SIGKILL at random moments, under load and now and then while it starts."""
    results = harness.results
    for number in range(1, harness.options.rounds + 1):
        if harness.random.random() < 0.1:
            starting = await harness.start()
            await asyncio.sleep(harness.random.uniform(0.2, 1.5))
            await starting.kill()
            results.kills_while_starting += 1
        async with harness.running() as proxy:
            await harness.check()  # what the kill before left, after recovery
            async with harness.clients.calling(proxy.url):
                await asyncio.sleep(harness.delay_s())
                harness.note_memory(proxy)
                await proxy.kill()
        results.rounds, results.kills = number, results.kills + 1
        results.kills_while_compressing += _was_compressing(harness.ledger)
        if number % ROUNDS_PER_LEDGER == 0 or number == harness.options.rounds:
            async with harness.running() as proxy:
                await harness.check()
                await proxy.terminate()
            await harness.check()
            await harness.conclude()
        if sys.stderr.isatty():
            print(
                f"\r{number} rounds, {len(results.violations)} violations", end="", file=sys.stderr
            )


def _was_compressing(ledger: Path) -> bool:
    names = {path.name for path in ledger.iterdir()}
    return any(n.endswith(".tmp") or (n.endswith(".zst") and n[:-4] in names) for n in names)


async def term(harness: Harness) -> None:
    """SIGTERM under load: calls in flight finish, new ones are refused, nothing is left open."""
    for number in range(1, harness.options.rounds + 1):
        async with harness.running() as proxy, harness.clients.calling(proxy.url):
            await asyncio.sleep(harness.delay_s())
            code = await proxy.terminate()
        harness.results.rounds = number
        state = await harness.check()
        if code != 0:
            harness.results.violations.append(f"SIGTERM ended the proxy with {code}")
        if state.records[-1]["kind"] != "proxy_stop":
            harness.results.violations.append("the last record is not a proxy_stop")
        ends = state.of_kind("end")
        if crashed := [end for end in ends if end["end_reason"] == "crash"]:
            harness.results.violations.append(f"{len(crashed)} calls ended as crash")
    await harness.conclude()


async def full(harness: Harness) -> None:
    """A disk that fills up under load and has space again: the proxy goes on by itself."""
    mode = "open" if harness.options.scenario == "full-open" else "closed"
    lost = 0
    for number in range(1, harness.options.rounds + 1):
        async with harness.running(on_ledger_failure=mode) as proxy:
            async with harness.clients.calling(proxy.url):
                await asyncio.sleep(harness.delay_s())
                with _no_space(harness, proxy):
                    await asyncio.sleep(harness.delay_s())
                await _healthy(proxy.url)
                await asyncio.sleep(0.2)
                harness.note_memory(proxy)
            await proxy.terminate()
        harness.results.rounds = number
        state = await asyncio.to_thread(read_ledger, harness.ledger)
        lost = sum(report.get("lost_records", 0) for report in state.of_kind("recovery"))
        await harness.check(lost=lost)
        if not any("failure" in report for report in state.of_kind("recovery")):
            harness.results.violations.append("no record says that the disk was full")
        if mode == "open" and harness.seen.refused:
            harness.results.violations.append("calls were rejected although the ledger is open")
        await harness.conclude()
        _remove(harness.folder)


@contextlib.contextmanager
def _no_space(harness: Harness, proxy: Proxy) -> Generator[None]:
    """Let the ledger's disk be full for a while; in `limit` by a limit on the size of files."""
    if harness.options.scenario == "limit":
        limit = resource.prlimit(proxy.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(proxy.process.pid, resource.RLIMIT_FSIZE, (1, limit[1]))
        yield
        resource.prlimit(proxy.process.pid, resource.RLIMIT_FSIZE, limit)
        return
    filler = harness.folder / "filler"
    with filler.open("wb", buffering=0) as handle:
        for size in (1 << 16, 1):
            with contextlib.suppress(OSError):
                while True:
                    handle.write(b"x" * size)
    yield
    filler.unlink()


def _remove(folder: Path) -> None:
    for path in folder.rglob("w*"):
        path.unlink()


async def _healthy(url: str) -> None:
    async with asyncio.timeout(30), aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{url}/cab/health") as answer:
                if orjson.loads(await answer.read())["ledger_failure"] is None:
                    return
            await asyncio.sleep(0.05)


async def readonly(harness: Harness) -> None:
    """A ledger that cannot be written: the proxy says so in one line and does not start."""
    async with harness.running() as proxy:
        async with harness.clients.calling(proxy.url):
            await asyncio.sleep(harness.delay_s())
        await proxy.kill()
    before = {path: path.read_bytes() for path in harness.ledger.iterdir()}
    _mount(harness.folder, "remount,ro")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", MAIN, "--upstream", harness.endpoint, "--port", "0"),
        *("--ledger", str(harness.ledger)),
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    if (
        process.returncode != 2
        or b"Read-only file system" not in errors
        or errors.count(b"\n") != 1
    ):
        harness.results.violations.append(f"exit {process.returncode}: {errors.decode()}")
    if before != {path: path.read_bytes() for path in harness.ledger.iterdir()}:
        harness.results.violations.append("the ledger was changed")
    _mount(harness.folder, "remount,rw")
    async with harness.running() as proxy:
        await proxy.terminate()
    await harness.check()
    harness.results.rounds = 1
    await harness.conclude()


async def slow(harness: Harness) -> None:
    """Syncs that take long, and a kill: answers wait for their records, many records for one sync."""
    for number in range(1, harness.options.rounds + 1):
        slow_s = harness.random.choice([0.05, 0.3])
        async with (
            harness.running(slow_s=slow_s) as proxy,
            harness.clients.calling(proxy.url),
        ):
            await asyncio.sleep(harness.options.seconds)
            harness.note_memory(proxy)
            await proxy.kill()
        async with harness.running() as proxy:
            await harness.check()
            await proxy.terminate()
        harness.results.rounds, harness.results.kills = number, number
    await harness.conclude()


async def writers(harness: Harness) -> None:
    """A second proxy on the same ledger is refused, and the first does not notice."""
    for number in range(1, harness.options.rounds + 1):
        async with harness.running() as proxy:
            async with harness.clients.calling(proxy.url):
                second = await harness.start()
                if await second.process.wait() != 2:
                    harness.results.violations.append("a second proxy started on the same ledger")
            await proxy.terminate()
        harness.results.rounds = number
        await harness.check()
    await harness.conclude()


SCENARIOS = {
    "kill": kill,
    "term": term,
    "full": full,
    "full-open": full,
    "limit": full,
    "readonly": readonly,
    "slow": slow,
    "writers": writers,
}


def _mount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", how, "cab-crash", str(folder)], check=True)


def _in_own_namespace() -> int:
    """Run this again where it may mount a small disk of its own."""
    rootless = [] if os.geteuid() == 0 else ["--map-root-user"]
    command = ["unshare", *rootless, "--mount", sys.executable, *sys.argv, "--inside"]
    return subprocess.run(command, check=False).returncode


async def run(options: argparse.Namespace, folder: Path) -> Results:
    async with running_endpoint() as endpoint:
        harness = Harness(options, folder, endpoint)
        await SCENARIOS[options.scenario](harness)
        return harness.results


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--scenario", choices=SCENARIOS, default="kill")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=2, help="longest time to a kill")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--segment-bytes", type=int, default=150_000, help="small: rotates often")
    parser.add_argument("--folder", type=Path, default=Path(), help="on the disk to be tried")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.scenario in OWN_DISK and not options.inside:
        return _in_own_namespace()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="crash-") as name:
        folder = Path(name)
        if options.inside:
            _mount(folder, f"size={SMALL_DISK}")
        results = asyncio.run(run(options, folder))
        if options.inside:
            subprocess.run(["umount", name], check=True)
    print(orjson.dumps(results, option=orjson.OPT_INDENT_2).decode())
    return 1 if results.violations else 0


if __name__ == "__main__":
    sys.exit(main())
