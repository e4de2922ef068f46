"""The engine, with an executor that does what the test says instead of running agents."""

import asyncio
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from cab.adapters.sweeps.budget import spend_members
from cab.adapters.sweeps.engine import Metering, Scheduler, SchedulerServices
from cab.adapters.sweeps.executor import CellJob, CellOutcome
from cab.adapters.sweeps.journal import Begin, Close, End, Journal, Session, read_journal
from cab.adapters.sweeps.matrix import Slot
from cab.adapters.sweeps.state import SweepState, stand
from cab.adapters.sweeps.sweepfile import SweepFile
from cab.proxy.accounting.limits import KeyLimits
from cab.scoring.ids import CellId
from cab.scoring.ledger.totals import CallTotals
from tests.adapters.sweeps.spend import spend
from tests.scoring.builders import end_fields, line, start_fields

Play = Callable[[CellJob], CellOutcome]


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
    """Leave a marked bundle, as a run that could not be ended does."""
    bundle = Path(job.bundles) / job.cell_id
    bundle.mkdir(parents=True)
    (bundle / "INCOMPLETE").write_text("")
    return CellOutcome(state="failed", reason=f"no luck with {job.key}")


class Playing:
    """Runs nothing: gives the outcomes that it is told to."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self.jobs: list[CellJob] = []
        self.most_at_once = 0
        self._running = 0

    async def run(self, job: CellJob) -> CellOutcome:
        self.jobs.append(job)
        self._running += 1
        self.most_at_once = max(self.most_at_once, self._running)
        await asyncio.sleep(0)
        self._running -= 1
        return self._play(job)

    async def stop(self) -> None:
        pass


class Holding:
    """Runs until it is stopped."""

    def __init__(self) -> None:
        self.running = asyncio.Event()
        self.stopped = asyncio.Event()

    async def run(self, job: CellJob) -> CellOutcome:
        (Path(job.bundles) / job.cell_id).mkdir(parents=True)
        self.running.set()
        await self.stopped.wait()
        return CellOutcome(state="stopped", reason="told")

    async def stop(self) -> None:
        self.stopped.set()


class Watching:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.ends: list[End] = []
        self.spends: list[CallTotals] = []

    def began(self, cell_id: str) -> None:
        del cell_id

    def ended(self, end: End, duration_s: float, spend: CallTotals) -> None:
        assert duration_s >= 0
        self.ends.append(end)
        self.spends.append(spend)

    def noted(self, text: str) -> None:
        self.notes.append(text)


class Sweep:
    """A sweep in a folder of the test's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.watcher = Watching()
        self.limits: list[KeyLimits] = []
        self.journal = Journal(folder / "journal.jsonl")
        self.standing = SweepState()
        ledger = folder / "ledger"
        ledger.mkdir()
        calls = [
            start_fields(f"c{n}", cell_id=cell_id)
            for n, cell_id in enumerate(["s/a/m/f/t#run1", "s/a/m/f/t#run10"])
        ]
        (ledger / "w0-000001.jsonl").write_bytes(b"".join(line(call) for call in calls))

    def engine(
        self,
        executor: Playing | Holding,
        slots: list[Slot],
        before: CallTotals | None = None,
        **keys: object,
    ) -> Scheduler:
        least = {"name": "s", "models": ["m"], "agents": ["a"], "tasks": ["f/t"], "retry_wait_s": 0}
        parts = SchedulerServices(
            SweepFile.model_validate({**least, **keys}),
            self.folder,
            self.journal,
            self.standing,
            executor,
            Metering("http://p", self._mint, self.folder / "ledger"),
            self.watcher,
            ("/plugin.toml",),
        )
        return Scheduler(parts, slots, before or CallTotals())

    def _mint(self, cell_id: str, ttl_s: int, limits: KeyLimits) -> str:
        assert ttl_s > 600
        self.limits.append(limits)
        return f"key-of-{cell_id}"

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
    executor = Playing(complete)
    slots = [slot(n) for n in range(1, 8)]

    engine = sweep.engine(executor, slots, jobs=3)
    await engine.run()

    assert set(sweep.standing.complete) == {each.id for each in slots}
    assert executor.most_at_once == 3
    assert spend_members(engine.spend) == spend_members(spend(calls=7, tokens=70, unpriced=7))
    assert (engine.cut, engine.waiting) == (None, ())
    job = executor.jobs[0]
    assert (job.cell_id, job.number, job.key) == (slots[0].id, 1, f"key-of-{slots[0].id}")
    assert (job.proxy, job.plugins) == ("http://p", ["/plugin.toml"])
    assert job.spec().plugins == ("/plugin.toml",)
    assert job.spec().cell_key == job.key
    assert CellJob.model_validate_json(job.model_dump_json()) == job
    assert "key-of" not in repr(job)


async def test_retried(sweep: Sweep) -> None:
    """What the infrastructure failed is run again under a new number, and put apart."""
    tries: list[str] = []

    def play(job: CellJob) -> CellOutcome:
        tries.append(job.cell_id)
        return broken(job) if len(tries) < 3 else complete(job)

    await sweep.engine(Playing(play), [slot(1)], retries=2).run()

    assert tries == ["s/a/m/f/t#run1", "s/a/m/f/t#run2", "s/a/m/f/t#run3"]
    assert sweep.standing.complete == {"s/a/m/f/t#run1": "s/a/m/f/t#run3"}
    assert [verdict for _, verdict in sweep.verdicts()] == [*["infrastructure"] * 2, "complete"]
    assert (sweep.folder / "apart" / "s/a/m/f/t#run1" / "INCOMPLETE").exists()
    assert [path.name for path in (sweep.folder / "runs/s/a/m/f").iterdir()] == ["t#run3"]
    first = sweep.watcher.ends[0]
    assert first.reason == "no luck with [redacted]"
    # Its one call has a START and no END: it is counted, its tokens are not known.
    assert (first.calls, first.tokens) == (1, None)


async def test_given_up(sweep: Sweep) -> None:
    """A cell that fails again and again is left, and the next one is tried."""
    await sweep.engine(Playing(broken), [slot(1, "x"), slot(1, "y")], retries=1).run()

    assert [verdict for _, verdict in sweep.verdicts()] == ["infrastructure"] * 4
    assert set(sweep.standing.unfilled) == {"s/a/m/f/x#run1", "s/a/m/f/y#run1"}


async def test_endpoint_is_down(sweep: Sweep) -> None:
    """So many failed cells in a row end the sitting; one success between them does not."""
    slots = [slot(1, f"t{n}") for n in range(6)]

    def play(job: CellJob) -> CellOutcome:
        return complete(job) if job.task == "f/t1" else broken(job)

    engine = sweep.engine(Playing(play), slots, retries=0, give_up_after=2)
    await engine.run()

    assert engine.cut == "the infrastructure failed 2 cells in a row"
    assert [each.cell.task for each in engine.waiting] == ["t4", "t5"]
    assert sweep.watcher.notes == [f"no further cell is started: {engine.cut}"]


async def test_budget(sweep: Sweep) -> None:
    """Once the budget is spent no further cell starts; what was spent before counts."""
    slots = [slot(n) for n in range(1, 5)]
    executor = Playing(complete)

    engine = sweep.engine(executor, slots, spend(calls=2, tokens=75), budget={"tokens": 90})
    await engine.run()

    assert len(executor.jobs) == 2
    assert engine.cut == "the budget is spent: 95 of 90 tokens are spent"
    assert [each.cell.run for each in engine.waiting] == [3, 4]
    assert sweep.limits == [KeyLimits(max_tokens=15), KeyLimits(max_tokens=5)]


async def test_cut_off_by_the_budget(sweep: Sweep) -> None:
    """A cell that the sweep's budget cut off is no result, and is not tried again."""
    engine = sweep.engine(
        Playing(lambda job: complete(job, rejected=1)), [slot(1)], budget={"tokens": 10}
    )
    await engine.run()

    assert [verdict for _, verdict in sweep.verdicts()] == ["budget"]
    assert (sweep.folder / "apart" / "s/a/m/f/t#run1").is_dir()
    assert sweep.standing.complete == {}


async def test_no_retry_without_budget(sweep: Sweep) -> None:
    """A cell that failed is not tried again once the budget is spent."""
    await sweep.engine(Playing(broken), [slot(1)], budget={"calls": 1}).run()

    assert len(sweep.verdicts()) == 1


async def test_wall_time(sweep: Sweep) -> None:
    """The time of earlier sittings counts against the budget."""
    sweep.standing.wall_s = 60
    engine = sweep.engine(Playing(complete), [slot(1)], budget={"wall_s": 60})

    await engine.run()

    assert engine.cut == "the budget is spent: 60 of 60 s are over"


async def test_stopped(sweep: Sweep) -> None:
    """Told to stop, it starts no more, ends what runs, and marks it."""
    executor = Holding()
    engine = sweep.engine(executor, [slot(1), slot(2)])

    async with asyncio.TaskGroup() as group:
        group.create_task(engine.run())
        await executor.running.wait()
        await engine.stop("stopped by SIGINT")

    assert sweep.verdicts() == [("s/a/m/f/t#run1", "stopped")]
    assert (sweep.folder / "apart" / "s/a/m/f/t#run1").is_dir()
    assert engine.cut == "stopped by SIGINT"
    assert [each.cell.run for each in engine.waiting] == [2]


async def test_stopped_while_it_waits(sweep: Sweep) -> None:
    """A wait before a retry ends at once when the sweep is told to stop."""
    told = asyncio.Event()

    def play(job: CellJob) -> CellOutcome:
        told.set()
        return broken(job)

    engine = sweep.engine(Playing(play), [slot(1)], retry_wait_s=3600)
    async with asyncio.TaskGroup() as group:
        group.create_task(engine.run())
        await told.wait()
        await engine.stop("stopped by SIGTERM")

    assert len(sweep.verdicts()) == 1


async def test_journal_tells_it_all(sweep: Sweep) -> None:
    """Read again, the journal gives the same standing."""
    await sweep.engine(Playing(complete), [slot(1), slot(2)]).run()
    sweep.journal.write(Close(reason="done"))

    entries = list(read_journal(sweep.folder / "journal.jsonl"))
    again = stand(entries)

    assert not any(isinstance(each, Session) for each in entries)
    assert [type(each) for each in entries] == [Begin, End, Begin, End, Close]
    assert (again.complete, again.numbers) == (sweep.standing.complete, sweep.standing.numbers)
