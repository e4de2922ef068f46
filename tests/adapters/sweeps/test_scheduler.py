"""The scheduler, with an executor that does what the test says instead of running agents."""

import asyncio
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import pytest

from cab.adapters.sweeps.budget import spend_members
from cab.adapters.sweeps.executors.protocol import CellJob, CellOutcome
from cab.adapters.sweeps.journal import Begin, Close, End, Journal, Session, read_journal
from cab.adapters.sweeps.matrix import Slot
from cab.adapters.sweeps.scheduler import Metering, Scheduler, SchedulerServices
from cab.adapters.sweeps.state import SweepState, replay
from cab.adapters.sweeps.sweepfile import SweepFile
from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.auth.cell_keys import CellKeys
from cab.scoring.ids import CellId
from cab.scoring.ledger.totals import CallTotals
from tests.adapters.sweeps.spend import spend
from tests.scoring.builders import end_fields, line, start_fields

Behaviour = Callable[[CellJob], CellOutcome]


def slot(number: int, task: str = "t") -> Slot:
    """Return a slot of the matrix."""
    return Slot(CellId("s", "a", "m", "f", task, number), "a", f"f/{task}")


def complete(job: CellJob, tokens: int = 10, **fields: object) -> CellOutcome:
    """Write a bundle with one call, and return its outcome."""
    bundle = Path(job.bundles) / job.cell_id
    bundle.mkdir(parents=True)
    call = end_fields("c", cell_id=job.cell_id, total_tokens=tokens)
    (bundle / "calls.jsonl").write_bytes(line(call))
    outcome = {"state": "complete", "bundle": str(bundle), "succeeded": 1, "passed": True}
    return CellOutcome.model_validate({**outcome, **fields})


def broken(job: CellJob) -> CellOutcome:
    """Leave a marked bundle, as a run that could not be finished does."""
    bundle = Path(job.bundles) / job.cell_id
    bundle.mkdir(parents=True)
    (bundle / "INCOMPLETE").write_text("")
    return CellOutcome(state="failed", reason=f"no luck with {job.key}")


class FakeExecutor:
    """Runs nothing: returns the outcomes that a function gives."""

    def __init__(self, behave: Behaviour) -> None:
        self._behave = behave
        self.jobs: list[CellJob] = []
        self.most_at_once = 0
        self._running = 0

    async def run(self, job: CellJob) -> CellOutcome:
        self.jobs.append(job)
        self._running += 1
        self.most_at_once = max(self.most_at_once, self._running)
        await asyncio.sleep(0)
        self._running -= 1
        return self._behave(job)

    async def stop(self) -> None:
        pass

    async def cancel(self, cell_id: str) -> None:
        raise AssertionError(cell_id)

    async def end_left(self, cell_ids: Sequence[str]) -> None:
        raise AssertionError(cell_ids)  # the session does that


class BlockingExecutor:
    """Runs until it is stopped."""

    def __init__(self) -> None:
        self.running = asyncio.Event()
        self.stopped = asyncio.Event()

    async def run(self, job: CellJob) -> CellOutcome:
        (Path(job.bundles) / job.cell_id).mkdir(parents=True)
        self.running.set()
        await self.stopped.wait()
        return CellOutcome(state="stopped", reason="why")

    async def stop(self) -> None:
        self.stopped.set()

    async def cancel(self, cell_id: str) -> None:
        raise AssertionError(cell_id)

    async def end_left(self, cell_ids: Sequence[str]) -> None:
        raise AssertionError(cell_ids)


class RecordingListener:
    """Keeps the progress that it receives."""

    follows = False

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.ends: list[End] = []
        self.spends: list[CallTotals] = []

    def resumed(self, done: int, to_run: int, spend: CallTotals, wall_s: float) -> None:
        raise AssertionError((done, to_run, spend, wall_s))  # the session does that

    def state(self, state: object) -> None:
        raise AssertionError(state)  # it does not follow

    def close(self) -> None:
        raise AssertionError

    def started(self, begin: Begin) -> None:
        del begin

    def ended(self, end: End, duration_s: float, spend: CallTotals) -> None:
        assert duration_s >= 0
        self.ends.append(end)
        self.spends.append(spend)

    def message(self, text: str) -> None:
        self.messages.append(text)


class Sweep:
    """A sweep in a folder of the test's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.listener = RecordingListener()
        self.limits: list[KeyLimits] = []
        self.revoked: list[str] = []
        self.journal = Journal(folder / "journal.jsonl")
        self.state = SweepState()
        ledger = folder / "ledger"
        ledger.mkdir()
        calls = [
            start_fields(f"c{n}", cell_id=cell_id)
            for n, cell_id in enumerate(["s/a/m/f/t#run1", "s/a/m/f/t#run10"])
        ]
        (ledger / "w0-000001.jsonl").write_bytes(b"".join(line(call) for call in calls))

    def scheduler(
        self,
        executor: FakeExecutor | BlockingExecutor,
        slots: list[Slot],
        before: CallTotals | None = None,
        /,
        **keys: object,
    ) -> Scheduler:
        least = {"name": "s", "models": ["m"], "agents": ["a"], "tasks": ["f/t"], "retry_wait_s": 0}
        services = SchedulerServices(
            SweepFile.model_validate({**least, **keys}),
            self.folder,
            self.journal,
            self.state,
            executor,
            Metering("http://p", self._mint, self.folder / "ledger", revoke=self._revoke),
            self.listener,
            ("/plugin.toml",),
        )
        return Scheduler(services, slots, before or CallTotals())

    def _mint(self, cell_id: str, ttl_s: int, limits: KeyLimits) -> CellKeys:
        assert ttl_s > 600
        self.limits.append(limits)
        return CellKeys(f"key-of-{cell_id}", f"seal-key-of-{cell_id}")

    async def _revoke(self, cell_id: str) -> None:
        self.revoked.append(cell_id)

    def verdicts(self) -> list[tuple[str, str]]:
        """Return attempt and verdict, as the journal has them."""
        entries = read_journal(self.folder / "journal.jsonl")
        return [(each.cell_id, each.verdict) for each in entries if isinstance(each, End)]


@pytest.fixture
def sweep(tmp_path: Path) -> Generator[Sweep]:
    made = Sweep(tmp_path)
    with made.journal:
        yield made


async def test_all_filled(sweep: Sweep) -> None:
    """Each slot is filled once, N at a time; jobs carry all that a cell needs."""
    executor = FakeExecutor(complete)
    slots = [slot(n) for n in range(1, 8)]

    scheduler = sweep.scheduler(executor, slots, jobs=3)
    await scheduler.run()

    assert set(sweep.state.complete) == {each.id for each in slots}
    assert executor.most_at_once == 3
    assert spend_members(scheduler.spend) == spend_members(spend(calls=7, tokens=70, unpriced=7))
    assert (scheduler.halt_reason, scheduler.not_started) == (None, ())
    job = executor.jobs[0]
    assert (job.cell_id, job.number, job.key) == (slots[0].id, 1, f"key-of-{slots[0].id}")
    assert (job.proxy, job.plugins) == ("http://p", ["/plugin.toml"])
    assert job.spec().plugins == ("/plugin.toml",)
    assert job.spec().cell_keys == (job.key, job.seal_key)
    assert CellJob.model_validate_json(job.model_dump_json()) == job
    assert "key-of" not in repr(job)


async def test_retried(sweep: Sweep) -> None:
    """What the infrastructure failed is run again under a new number, and moved to the failed ones."""
    tries: list[str] = []

    def behave(job: CellJob) -> CellOutcome:
        tries.append(job.cell_id)
        return broken(job) if len(tries) < 3 else complete(job)

    await sweep.scheduler(FakeExecutor(behave), [slot(1)], retries=2).run()

    assert tries == ["s/a/m/f/t#run1", "s/a/m/f/t#run2", "s/a/m/f/t#run3"]
    assert sweep.state.complete == {"s/a/m/f/t#run1": "s/a/m/f/t#run3"}
    assert [verdict for _, verdict in sweep.verdicts()] == [*["infrastructure"] * 2, "complete"]
    assert (sweep.folder / "failed" / "s/a/m/f/t#run1" / "INCOMPLETE").exists()
    assert [path.name for path in (sweep.folder / "runs/s/a/m/f").iterdir()] == ["t#run3"]
    first = sweep.listener.ends[0]
    assert first.reason == "no luck with [redacted]"
    # Its one call has a START and no END: it is counted, its tokens are not known.
    assert (first.calls, first.tokens) == (1, None)


async def test_given_up(sweep: Sweep) -> None:
    """A cell that fails again and again is left, and the next one is tried."""
    await sweep.scheduler(FakeExecutor(broken), [slot(1, "x"), slot(1, "y")], retries=1).run()

    assert [verdict for _, verdict in sweep.verdicts()] == ["infrastructure"] * 4
    assert set(sweep.state.unfilled) == {"s/a/m/f/x#run1", "s/a/m/f/y#run1"}


async def test_nodes_are_avoided(sweep: Sweep) -> None:
    """A node that failed two cells in a row gets no further one; the keys of what failed are revoked."""
    nodes = iter(["n1", "n2", "n1", "n2", "n2", "n2"])

    def behave(job: CellJob) -> CellOutcome:
        node = next(nodes)
        outcome = broken(job) if node == "n1" else complete(job)
        return outcome.model_copy(update={"node": node})

    executor = FakeExecutor(behave)
    slots = [slot(1, f"t{n}") for n in range(4)]
    await sweep.scheduler(executor, slots, resources={"cpus": 3}).run()

    assert [job.avoid for job in executor.jobs] == [[], [], [], ["n1"], ["n1"], ["n1"]]
    assert {job.resources.cpus for job in executor.jobs} == {3}
    [said] = sweep.listener.messages
    assert said.startswith("node n1 is avoided from now on: 2 cells failed there")
    assert [end.node for end in sweep.listener.ends] == ["n1", "n2", "n1", "n2", "n2", "n2"]
    assert sweep.revoked == [e.cell_id for e in sweep.listener.ends if e.verdict != "complete"]


async def test_endpoint_is_down(sweep: Sweep) -> None:
    """So many failed cells in a row end the session; one success between them prevents that."""
    slots = [slot(1, f"t{n}") for n in range(6)]

    def behave(job: CellJob) -> CellOutcome:
        return complete(job) if job.task == "f/t1" else broken(job)

    scheduler = sweep.scheduler(FakeExecutor(behave), slots, retries=0, give_up_after=2)
    await scheduler.run()

    assert scheduler.halt_reason == "the infrastructure failed 2 cells in a row"
    assert [each.cell.task for each in scheduler.not_started] == ["t4", "t5"]
    assert sweep.listener.messages == [f"no more cells are started: {scheduler.halt_reason}"]


async def test_budget(sweep: Sweep) -> None:
    """Once the budget is spent no further cell starts; what was spent before counts."""
    slots = [slot(n) for n in range(1, 5)]
    executor = FakeExecutor(complete)

    scheduler = sweep.scheduler(executor, slots, spend(calls=2, tokens=75), budget={"tokens": 90})
    await scheduler.run()

    assert len(executor.jobs) == 2
    assert scheduler.halt_reason == "the budget is spent: 95 of 90 tokens are spent"
    assert [each.cell.run for each in scheduler.not_started] == [3, 4]
    assert sweep.limits == [KeyLimits(max_tokens=15), KeyLimits(max_tokens=5)]


async def test_cut_off_by_the_budget(sweep: Sweep) -> None:
    """A cell that the sweep's budget cut off has no result, and is not tried again."""
    scheduler = sweep.scheduler(
        FakeExecutor(lambda job: complete(job, rejected=1)), [slot(1)], budget={"tokens": 10}
    )
    await scheduler.run()

    assert [verdict for _, verdict in sweep.verdicts()] == ["budget"]
    assert (sweep.folder / "failed" / "s/a/m/f/t#run1").is_dir()
    assert sweep.state.complete == {}


async def test_no_retry_without_budget(sweep: Sweep) -> None:
    """A cell that failed is not tried again once the budget is spent."""
    await sweep.scheduler(FakeExecutor(broken), [slot(1)], budget={"calls": 1}).run()

    assert len(sweep.verdicts()) == 1


async def test_wall_time(sweep: Sweep) -> None:
    """The time of earlier sessions counts against the budget."""
    sweep.state.wall_s = 60
    scheduler = sweep.scheduler(FakeExecutor(complete), [slot(1)], budget={"wall_s": 60})

    await scheduler.run()

    assert scheduler.halt_reason == "the budget is spent: 60 of 60 s are over"


async def test_stopped(sweep: Sweep) -> None:
    """When it is stopped it starts no more cells, ends what runs, and marks it."""
    executor = BlockingExecutor()
    scheduler = sweep.scheduler(executor, [slot(1), slot(2)])

    async with asyncio.TaskGroup() as group:
        group.create_task(scheduler.run())
        await executor.running.wait()
        await scheduler.stop("stopped by SIGINT")

    assert sweep.verdicts() == [("s/a/m/f/t#run1", "stopped")]
    assert (sweep.folder / "failed" / "s/a/m/f/t#run1").is_dir()
    assert scheduler.halt_reason == "stopped by SIGINT"
    assert [each.cell.run for each in scheduler.not_started] == [2]


async def test_stopped_while_it_waits(sweep: Sweep) -> None:
    """A wait before a retry ends at once when the sweep is stopped."""
    failed = asyncio.Event()

    def behave(job: CellJob) -> CellOutcome:
        failed.set()
        return broken(job)

    scheduler = sweep.scheduler(FakeExecutor(behave), [slot(1)], retry_wait_s=3600)
    async with asyncio.TaskGroup() as group:
        group.create_task(scheduler.run())
        await failed.wait()
        await scheduler.stop("stopped by SIGTERM")

    assert len(sweep.verdicts()) == 1


async def test_journal_holds_the_state(sweep: Sweep) -> None:
    """Read again, the journal gives the same state."""
    await sweep.scheduler(FakeExecutor(complete), [slot(1), slot(2)]).run()
    sweep.journal.write(Close(reason="done"))

    entries = list(read_journal(sweep.folder / "journal.jsonl"))
    again = replay(entries)

    assert not any(isinstance(each, Session) for each in entries)
    assert [type(each) for each in entries] == [Begin, End, Begin, End, Close]
    assert (again.complete, again.numbers) == (sweep.state.complete, sweep.state.numbers)


async def test_spend_of_a_failed_cell_needs_only_what_came_after_its_begin(sweep: Sweep) -> None:
    """Of an attempt without a bundle the ledger is read from where it ended before, not from its first line."""
    ledger = sweep.folder / "ledger"
    old = ledger / "w0-000001.jsonl"
    (ledger / "w0-000002.jsonl").write_bytes(line(start_fields("c9", cell_id="s/a/m/f/other")))

    def without_bundle(job: CellJob) -> CellOutcome:
        old.chmod(0)
        old.unlink(missing_ok=True)
        old.mkdir()  # whoever reads it fails
        with (ledger / "w0-000002.jsonl").open("ab") as segment:
            segment.write(line(end_fields("c10", cell_id=job.cell_id, total_tokens=7)))
        return CellOutcome(state="failed", reason="lost")

    scheduler = sweep.scheduler(FakeExecutor(without_bundle), [slot(1)], retries=0)
    await scheduler.run()

    assert [(end.calls, end.tokens) for end in sweep.listener.ends] == [(1, 7)]


@pytest.mark.parametrize(("shared", "tokens"), [(True, 10), (False, 7)])
async def test_spend_of_a_node_that_shares_nothing(sweep: Sweep, shared: bool, tokens: int) -> None:
    """What a bundle that was sent says of its calls is not charged: the proxy's ledger is."""

    def lying(job: CellJob) -> CellOutcome:
        call = end_fields("c10", cell_id=job.cell_id, total_tokens=7)
        (sweep.folder / "ledger" / "w0-000002.jsonl").write_bytes(line(call))
        return complete(job, tokens=10)

    scheduler = sweep.scheduler(FakeExecutor(lying), [slot(2)], executor={"shared": shared})
    await scheduler.run()

    assert [end.tokens for end in sweep.listener.ends] == [tokens]
