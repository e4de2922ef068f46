"""Several real processes on one port, under load, under SIGTERM and under SIGKILL."""

import asyncio
import hashlib
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Generator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.auth.revocations import Revocations
from cab.proxy.clock import Clock
from cab.proxy.config import ProxySettings
from cab.proxy.errors import BadConfig
from cab.proxy.workers.supervisor import MultiProcessProxy, running_workers
from tests.tools.client import Seen, post
from tests.tools.dialects import BY_ENDPOINT
from tests.tools.proxy import records
from tests.tools.upstream import ScriptedUpstream, json_answer, scripted_upstream

pytestmark = pytest.mark.slow
CELL = "s/aider/m/f/t"
CELL_PATH = "/cab/cells/s%2Faider%2Fm%2Ff%2Ft"
CHAT = BY_ENDPOINT["chat.completions"]
ANSWER = [json_answer(CHAT.answer)]
COMMAND = (
    sys.executable,
    "-c",
    "import sys; from cab.proxy.cli.main import main; sys.exit(main())",
)
WORKERS = 4


@asynccontextmanager
async def workers_behind(
    upstream: ScriptedUpstream, folder: Path, workers: int = WORKERS, **settings: Any
) -> AsyncGenerator[MultiProcessProxy]:
    values = {"upstream": upstream.url, "port": 0, "ledger": folder / "ledger", "grace_s": 5}
    values |= {"workers": workers, "log_level": "error", **settings}
    async with running_workers(ProxySettings.model_validate(values), kill_after_s=0.1) as proxy:
        yield proxy


def bearer(proxy: MultiProcessProxy, **limits: Any) -> str:
    return f"Authorization: Bearer {proxy.mint_key(CELL, 600, KeyLimits(**limits))}"


def to_seal(proxy: MultiProcessProxy) -> str:
    return f"Authorization: Bearer {proxy.mint_keys(CELL, 600).seal}"


async def calls(proxy: MultiProcessProxy, key: str, number: int, at_once: int = 20) -> list[Seen]:
    """Send calls, each on a connection of its own: the kernel spreads them over the workers."""
    slots = asyncio.Semaphore(at_once)

    async def one() -> Seen:
        async with slots:
            return await post(proxy.url, CHAT.path, CHAT.request, key, "Connection: close")

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(one()) for _ in range(number)]
    return [each.result() for each in running]


async def control(proxy: MultiProcessProxy, what: str, key: str, method: str = "GET") -> Seen:
    return await post(proxy.url, CELL_PATH + what, b"", key, "Connection: close", method=method)


def starts_by_worker(proxy: MultiProcessProxy) -> dict[int, list[str]]:
    """Return the calls that each worker has accepted."""
    found: dict[int, list[str]] = {}
    for path in proxy.ledger_dir.glob("w*.jsonl"):
        lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
        found[int(path.name[1])] = [r["call_id"] for r in lines if r["kind"] == "start"]
    return found


def records_of(proxy: MultiProcessProxy, worker: int, kind: str) -> list[dict[str, Any]]:
    """Return a worker's records of one kind."""
    lines = (proxy.ledger_dir / f"w{worker}-000001.jsonl").read_bytes().splitlines()
    return [record for record in map(orjson.loads, lines) if record["kind"] == kind]


async def test_calls_are_numbered_and_limited_across_workers(tmp_path: Path) -> None:
    """Rows are accepted requests, numbers have no gap, and exactly the limit is admitted."""
    async with scripted_upstream(ANSWER) as upstream, workers_behind(upstream, tmp_path) as proxy:
        key = bearer(proxy, max_calls=60)
        answers = await calls(proxy, key, 100)
        assert Counter(seen.status for seen in answers) == {200: 60, 400: 40}
        [seen] = await calls(proxy, bearer(proxy), 1)
        assert seen.status == 200
        seal = orjson.loads((await control(proxy, "/seal", to_seal(proxy), "POST")).body)
        slices = [(await control(proxy, "/calls", key)).body for _ in range(3)]
        used = starts_by_worker(proxy)
    assert len(upstream.received) == 61
    ends = records(proxy.ledger_dir)
    made = [end for end in ends if end["end_reason"] == "completed"]
    assert sorted(end["seq"] for end in made) == list(range(1, 62))
    assert [end["seq"] for end in ends if end["end_reason"] == "rejected"] == [None] * 40
    assert sorted(used) == list(range(WORKERS))
    assert sum(map(len, used.values())) == 61
    assert (seal["calls"], seal["records"], seal["total_tokens"]) == (61, 162, 61 * 78)
    assert {hashlib.sha256(body).hexdigest() for body in slices} == {seal["digest"][7:]}


async def round_trips(proxy: MultiProcessProxy) -> int:
    """Return how many calls had to ask another process."""
    seen = await post(proxy.url, "/cab/health", b"", "Connection: close", method="GET")
    return int(orjson.loads(seen.body)["ipc_round_trips"])


async def test_calls_of_a_known_cell_ask_no_other_process(tmp_path: Path) -> None:
    """After the first calls no call leaves its worker; a revoked key is refused by all of them at once."""
    async with (
        scripted_upstream(ANSWER) as upstream,
        workers_behind(upstream, tmp_path, 2, auth="keys") as proxy,
    ):
        key = bearer(proxy, max_calls=10_000, max_tokens=10**9, max_concurrency=1000)
        made = 0
        while not all(starts_by_worker(proxy).values()):
            made += len(await calls(proxy, key, 10))
        asked = [await round_trips(proxy)]
        assert asked[0] > 0
        # A worker that has a lock and no processor makes others ask; not each time.
        while len(asked) == 1 or (asked[-1] > asked[-2] and len(asked) < 6):
            answers = await calls(proxy, key, 100)
            assert {seen.status for seen in answers} == {200}
            asked.append(await round_trips(proxy))
            made += 100
        assert asked[-1] == asked[-2]
        Revocations(tmp_path / "cab-state").revoke_cell(CELL, Clock().wall_ns() // 10**9)
        refused = await calls(proxy, key, 10)
        assert {seen.status for seen in refused} == {401}
    starts = records(proxy.ledger_dir, "start")
    assert sorted(start["seq"] for start in starts) == list(range(1, made + 1))


async def test_concurrency_holds_across_workers(tmp_path: Path) -> None:
    """Never more calls are at the endpoint than the key allows, whichever workers they are in."""
    now = most = 0

    async def begin() -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(
            0.01
        )  # long enough for a call that must wait to come through if it could
        now -= 1

    async with (
        scripted_upstream([begin, *ANSWER]) as upstream,
        workers_behind(upstream, tmp_path) as proxy,
    ):
        answers = await calls(proxy, bearer(proxy, max_concurrency=3), 40)
    waits = [end["queued_ms"] for end in records(tmp_path / "ledger")]
    assert {seen.status for seen in answers} == {200}
    assert most == 3
    assert min(waits) == 0 < max(waits)


async def test_a_seal_waits_for_calls_in_all_workers(tmp_path: Path) -> None:
    """A seal sees the calls of every worker; after it began no worker admits another."""
    arrived, go = asyncio.Semaphore(0), asyncio.Event()

    async def begin() -> None:
        arrived.release()
        await go.wait()

    async with (
        scripted_upstream([begin, *ANSWER]) as upstream,
        workers_behind(upstream, tmp_path) as proxy,
        asyncio.TaskGroup() as tasks,
    ):
        key = bearer(proxy)
        running = tasks.create_task(calls(proxy, key, 12))
        for _ in range(12):
            await arrived.acquire()
        sealing = tasks.create_task(control(proxy, "/seal", to_seal(proxy), "POST"))
        async with asyncio.timeout(20):
            refused = 400  # over its limit, until the cell is sealed
            while refused == 400:
                refused = (await calls(proxy, bearer(proxy, max_calls=1), 1))[0].status
        late = await calls(proxy, key, 8)
        assert {seen.status for seen in late} == {409}
        assert not sealing.done()
        go.set()
        assert {seen.status for seen in await running} == {200}
        seal = orjson.loads((await sealing).body)
    assert seal["calls"] == len(records(proxy.ledger_dir, "start")) == 12


async def kill(proxy: MultiProcessProxy, worker: int) -> None:
    """Kill a worker; on return it is gone, and no connection goes to it any more."""
    pid = proxy.workers.pids[worker]
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(30):
        while proxy.workers.pids.get(worker) == pid:  # noqa: ASYNC110 - a process that ends tells nobody
            await asyncio.sleep(0.01)


async def test_a_killed_worker_takes_nobody_with_it(tmp_path: Path) -> None:
    """The others go on; its calls end as crashes, count, and hold up a seal until they have."""
    arrived, go = asyncio.Semaphore(0), asyncio.Event()

    async def begin() -> None:
        arrived.release()
        await go.wait()

    async with (
        scripted_upstream([begin, *ANSWER]) as upstream,
        workers_behind(upstream, tmp_path) as proxy,
    ):
        key = bearer(proxy)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(calls(proxy, key, 16))
            for _ in range(16):
                await arrived.acquire()
            before = proxy.workers.pids
            victim, lost = max(starts_by_worker(proxy).items(), key=lambda item: len(item[1]))
            await kill(proxy, victim)
            go.set()
        statuses = Counter(seen.status for seen in running.result())
        assert statuses == {200: 16 - len(lost), 0: len(lost)}  # 0: no answer came
        answers = await calls(proxy, key, 20)
        async with asyncio.timeout(30):
            while proxy.workers.pids.get(victim, before[victim]) == before[victim]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        answers += await calls(proxy, key, 20)
        assert {seen.status for seen in answers} == {200}
        await kill(proxy, (victim + 1) % WORKERS)  # before it has told what its calls came to
        seal = orjson.loads((await control(proxy, "/seal", to_seal(proxy), "POST")).body)
    ends = records(proxy.ledger_dir)
    crashed = [end["call_id"] for end in ends if end["end_reason"] == "crash"]
    assert sorted(crashed) == sorted(lost)
    starts = records(proxy.ledger_dir, "start")
    assert sorted(s["call_id"] for s in starts) == sorted(e["call_id"] for e in ends)
    assert sorted(s["seq"] for s in starts) == list(range(1, len(starts) + 1))
    assert (seal["calls"], seal["unmeasured_calls"]) == (len(starts), len(lost))
    assert seal["total_tokens"] is None


@contextmanager
def unrecoverable(proxy: MultiProcessProxy, worker: int) -> Generator[None]:
    """Keep a worker's chain from being opened again: its lock is no file any more."""
    lock = proxy.ledger_dir / f"w{worker}.lock"
    lock.unlink()
    lock.mkdir()
    try:
        yield
    finally:
        lock.rmdir()


async def test_a_worker_that_cannot_come_back_is_tried_again(tmp_path: Path) -> None:
    """While its chain cannot be opened the others go on; afterwards it is there again."""
    async with (
        scripted_upstream(ANSWER) as upstream,
        workers_behind(upstream, tmp_path, 2) as proxy,
    ):
        with unrecoverable(proxy, 0):
            await kill(proxy, 0)
            answers = await calls(proxy, bearer(proxy), 20)
            assert {seen.status for seen in answers} == {200}
        async with asyncio.timeout(30):
            while len(records_of(proxy, 0, "proxy_start")) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_calls_of_a_dead_worker_wait_for_its_recovery(tmp_path: Path) -> None:
    """As long as its chain cannot be recovered its calls count as in flight."""
    arrived = asyncio.Semaphore(0)

    async def begin() -> None:
        arrived.release()
        await asyncio.Event().wait()

    async with (
        scripted_upstream([begin]) as upstream,
        workers_behind(upstream, tmp_path, 2) as proxy,
        asyncio.TaskGroup() as tasks,
    ):
        key = bearer(proxy)
        tasks.create_task(calls(proxy, key, 1))
        await arrived.acquire()
        [victim] = [n for n, started in starts_by_worker(proxy).items() if started]
        with unrecoverable(proxy, victim):
            await kill(proxy, victim)
            waiting = tasks.create_task(control(proxy, "/seal", to_seal(proxy), "POST"))
            await asyncio.wait([waiting], timeout=0.5)
            assert not waiting.done()
        seal = orjson.loads((await waiting).body)
        assert (seal["calls"], seal["unmeasured_calls"]) == (1, 1)


async def test_calls_of_a_worker_that_has_lost_the_parent_are_recovered(tmp_path: Path) -> None:
    """It ends in order, with exit code 0, and cannot tell what its calls came to: its chain says it."""
    arrived = asyncio.Event()

    async def begin() -> None:
        arrived.set()
        await asyncio.Event().wait()

    async with (
        scripted_upstream([begin]) as upstream,
        workers_behind(upstream, tmp_path, 1, grace_s=0.1) as proxy,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(calls(proxy, bearer(proxy), 1))
        await arrived.wait()
        pid, [slot] = proxy.workers.pids[0], proxy.workers._slots
        slot.tell.__self__._writer.transport.abort()  # type: ignore[union-attr]
        async with asyncio.timeout(30):
            while proxy.workers.pids.get(0, pid) == pid:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await slot.ready
        seal = orjson.loads((await control(proxy, "/seal", to_seal(proxy), "POST")).body)
    assert (seal["calls"], seal["unmeasured_calls"]) == (1, 1)
    [end] = records(proxy.ledger_dir)
    assert end["end_reason"] != "crash"


async def test_a_stop_does_not_wait_for_a_recovery(tmp_path: Path) -> None:
    """What could not be recovered while the proxy ran is recovered by the next run."""
    arrived = asyncio.Semaphore(0)

    async def begin() -> None:
        arrived.release()
        await asyncio.Event().wait()

    async with scripted_upstream([begin]) as upstream, asyncio.TaskGroup() as tasks:
        with ExitStack() as stack:
            async with workers_behind(upstream, tmp_path, 1) as proxy:
                tasks.create_task(calls(proxy, bearer(proxy), 1))
                await arrived.acquire()
                stack.enter_context(unrecoverable(proxy, 0))
                os.kill(proxy.workers.pids[0], signal.SIGKILL)
        assert records(proxy.ledger_dir) == []
        async with workers_behind(upstream, tmp_path, 1) as proxy:
            [end] = records(proxy.ledger_dir)
            assert end["end_reason"] == "crash"


async def test_workers_that_hang_are_killed(tmp_path: Path) -> None:
    """Workers that do not stop are killed some time after the grace time."""
    # All of them hang: one that stops in order could be too slow for so short a time.
    async with (
        scripted_upstream(ANSWER) as upstream,
        workers_behind(upstream, tmp_path, 2, grace_s=0.1) as proxy,
    ):
        pids = proxy.workers.pids
        for pid in pids.values():
            os.kill(pid, signal.SIGSTOP)
    assert len(pids) == 2
    assert not any(map(runs, pids.values()))
    assert records(proxy.ledger_dir, "proxy_stop") == []


async def test_a_worker_whose_loop_does_not_turn_is_started_again(tmp_path: Path) -> None:
    """With a watchdog one that says nothing is killed; without one it may go on some time."""
    values = {"upstream": "demo", "port": 0, "ledger": tmp_path / "ledger", "workers": 2}
    settings = ProxySettings.model_validate({**values, "grace_s": 5})
    async with running_workers(settings, watchdog_s=5) as proxy, asyncio.timeout(60):
        before = proxy.workers.pids
        os.kill(before[1], signal.SIGSTOP)
        while proxy.workers.pids.get(1, before[1]) == before[1]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert proxy.workers.pids[0] == before[0]


async def test_a_further_run_goes_on_where_the_last_one_was(tmp_path: Path) -> None:
    """Numbers and totals go on over restarts, with more workers or with fewer."""
    for round_number, workers in enumerate((3, 2, 4)):
        async with (
            scripted_upstream(ANSWER) as upstream,
            workers_behind(upstream, tmp_path, workers) as proxy,
        ):
            answers = await calls(proxy, bearer(proxy, max_calls=25), 10)
        expected = {200: 10} if round_number < 2 else {200: 5, 400: 5}
        assert Counter(seen.status for seen in answers) == expected
    starts = records(tmp_path / "ledger", "start")
    assert sorted(start["seq"] for start in starts) == list(range(1, 26))


async def test_a_port_that_is_taken_is_one_error(tmp_path: Path) -> None:
    """Another proxy's port is refused, also one that its workers share among themselves."""
    async with (
        scripted_upstream(ANSWER) as upstream,
        workers_behind(upstream, tmp_path / "a", 2) as proxy,
    ):
        port = int(proxy.url.rpartition(":")[2])
        with pytest.raises(BadConfig, match=f"cannot listen on 127.0.0.1 port {port}: address"):
            async with workers_behind(upstream, tmp_path / "b", 2, port=port):
                pass
        with pytest.raises(BadConfig, match="is being written by another proxy"):
            async with workers_behind(upstream, tmp_path / "a", 2):
                pass


async def test_a_worker_that_cannot_start_says_why(tmp_path: Path) -> None:
    """What only a worker finds out is the parent's error, once; no process is left behind."""
    async with scripted_upstream(ANSWER) as upstream:
        with pytest.raises(BadConfig, match="nonsense"):
            async with workers_behind(upstream, tmp_path, 3, encodings={"*": "nonsense"}):
                pass


def command(folder: Path, *arguments: str, **env: str) -> subprocess.Popen[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("CAB_")}
    return subprocess.Popen(
        [*COMMAND, "--ledger", "ledger", "--workers", "2", *arguments],
        cwd=folder,
        env={**kept, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def runs(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def gone(pid: int) -> None:
    async with asyncio.timeout(30):
        while runs(pid):  # noqa: ASYNC110 - no child of this process
            await asyncio.sleep(0.01)


def banner(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    printed = ""
    while "API_KEY" not in printed and (line := process.stdout.readline()):
        printed += line
    return printed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_starts_and_ends_its_workers(number: signal.Signals, tmp_path: Path) -> None:
    """One banner, a demo for all, and an orderly end: exit code 0 and a stop in each chain."""
    with command(tmp_path, "--upstream", "demo", "--port", "0") as process:
        try:
            printed = banner(process)
            assert printed.count("cab-proxy listens on") == 1
            assert "demo (built-in model server)" in printed
            workers = children(process.pid)
            assert len(workers) == 2
            process.send_signal(number)
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors
        finally:
            process.kill()
    assert len(records(tmp_path / "ledger", "proxy_stop")) == 2
    assert not any(map(runs, workers))


async def test_workers_do_not_outlive_their_parent(tmp_path: Path) -> None:
    """A parent that is killed leaves no worker behind, and each stops in order."""
    with command(tmp_path, "--upstream", "demo", "--port", "0") as process:
        banner(process)
        workers = children(process.pid)
        process.kill()
        process.communicate(timeout=60)
        for pid in workers:
            await gone(pid)
    assert len(records(tmp_path / "ledger", "proxy_stop")) == 2


def test_an_error_at_the_start_is_one_line(tmp_path: Path) -> None:
    """A port that is taken, and a worker that cannot start: one line, exit code 2."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with command(tmp_path, "--upstream", "demo", "--port", port) as process:
            printed, errors = process.communicate(timeout=60)
    assert (process.returncode, printed) == (2, "")
    assert errors.count("\n") == 1
    assert f"cannot listen on 127.0.0.1 port {port}: address already in use" in errors
