"""Rounds: every load on every contender in turn, so that what else the machine does meets all of them alike."""

import contextlib
import re
import statistics
import urllib.request
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import orjson

from benchmarks.speed.contenders import (
    CONTENDERS,
    Contender,
    Endpoint,
    NotInstalled,
    running_endpoint,
)
from benchmarks.speed.live import Pair
from benchmarks.speed.load import Load, Measured, measure, percentile
from benchmarks.speed.processes import peak_bytes, tree

Value = Callable[[Measured], float | None]
_OURS = ("cab", "cab, 2 workers")
_NGINX = ("nginx", "nginx + Lua")
_GATEWAYS = ("LiteLLM", "Portkey")
_TLS = (
    *("nginx, TLS upstream", "cab, TLS upstream"),
    *("nginx, TLS listener", "cab, TLS listener"),
)
_KEYS = ("cab, keys", "cab, keys, 2 workers")


class Case(NamedTuple):
    """A load, and who gets it."""

    load: Load
    contenders: tuple[str, ...]


CASES = {
    "call": Case(Load("calls"), ("bare", *_NGINX, *_GATEWAYS, *_OURS, *_TLS)),
    "call with ids": Case(Load("calls", ids=True), (*_NGINX, *_KEYS)),
    "call of 40 KB": Case(Load("calls", body_bytes=40_000), (*_NGINX, *_GATEWAYS, *_OURS)),
    "one connection": Case(
        Load("calls", 1, seconds=1), ("direct", *_NGINX, *_GATEWAYS, *_OURS, *_KEYS, *_TLS)
    ),
    "streams": Case(Load("streams", 500), ("direct", "bare", *_NGINX, *_OURS)),
    "staggered": Case(Load("staggered", 100, seconds=4), ("direct", *_NGINX, *_OURS)),
    "burst": Case(Load("burst", 500), ("direct", *_NGINX, *_OURS)),
    "idle": Case(Load("idle", 500, rate=0.3), (*_NGINX, *_OURS)),
}
_FRESH = {"idle"}
"""Loads that need a process without a past: what was freed before would be used again, and not count."""
_FEW = Load("calls", 2, seconds=0.2)
_FIRST = Load("calls", 32, seconds=0.2)
"""So many connections that each worker gets one, and so a first call of the cell."""


@dataclass
class Round:
    """What one round measured; a contender that is missing there was not measured, or is not installed."""

    measured: dict[str, dict[str, Measured]] = field(default_factory=dict)
    """By case and contender."""
    start_s: dict[str, float] = field(default_factory=dict)
    """From the start of the process until its port was open, on a small ledger."""
    peak_bytes: dict[str, int] = field(default_factory=dict)
    """The most memory that its processes held over all loads."""
    round_trips: dict[str, float] = field(default_factory=dict)
    """How many calls of several workers had to ask another process, after the first ones."""
    watched: dict[str, list[Pair]] = field(default_factory=dict)
    """By load: what it costs that somebody looks."""
    answers: int = 0
    """Answers through ours, each of which has its record."""


class Rounds(list[Round]):
    """All rounds of a run."""

    def value(self, case: str, contender: str, value: Value) -> float | None:
        """Return the median over the rounds; None if one of them is unknown."""
        return median(_known(one, case, contender, value) for one in self)

    def ratio(self, case: str, contender: str, other: str, value: Value) -> float | None:
        """Return the median of the ratios within each round."""
        return median(_ratio(one, case, contender, other, value) for one in self)

    def added(self, case: str, contender: str, value: Value) -> float | None:
        """Return the median of the differences from the same without any proxy."""
        values = (
            (_known(one, case, contender, value), _known(one, case, "direct", value))
            for one in self
        )
        return median(None if a is None or b is None else a - b for a, b in values)


def latency(share: float) -> Value:
    """Return what reads a percentile of the latencies, in milliseconds."""
    return lambda measured: percentile(measured.latency_ms, share)


def delay(share: float) -> Value:
    """Return what reads a percentile of the events' delays, in milliseconds."""
    return lambda measured: percentile(measured.delay_ms, share)


def cpu_us(measured: Measured) -> float | None:
    """Return the processor time per call or event, in microseconds."""
    return measured.cpu_us


def per_second(measured: Measured) -> float | None:
    """Return the calls or events per second."""
    return measured.counted / measured.seconds if measured.seconds else None


def median(values: Iterable[float | None]) -> float | None:
    """Return the median; None if there is no value, or one is unknown."""
    known: list[float] = []
    for value in values:
        if value is None:
            return None
        known.append(value)
    return statistics.median(known) if known else None


def run_round(folder: Path, cases: dict[str, Case]) -> Round:
    """Run all loads once.

    Args:
        folder: Takes ledgers, logs and configurations.
        cases: Those of `CASES`, or some of them, or smaller ones.

    Raises:
        RuntimeError: An answer is not whole, or a ledger does not agree with the clients.
    """
    with running_endpoint(folder) as endpoint:
        run = _Run(endpoint, folder)
        run.together({name: case for name, case in cases.items() if name not in _FRESH})
        for name in _FRESH & cases.keys():
            run.fresh(name, cases[name])
    return run.done


class _Run:
    """A round while it is measured."""

    def __init__(self, endpoint: Endpoint, folder: Path) -> None:
        self.done = Round()
        self._endpoint = endpoint
        self._folder = folder

    def together(self, cases: dict[str, Case]) -> None:
        """Measure contenders that all run, one after the other."""
        running: dict[str, Contender] = {}
        with contextlib.ExitStack() as stack:
            for name in dict.fromkeys(name for case in cases.values() for name in case.contenders):
                with contextlib.suppress(NotInstalled):
                    running[name] = stack.enter_context(self._start(name, "together"))
            asked: dict[str, int] = {}
            for name in (each for each in running if each.endswith("workers")):
                running[name].add(_load(_FIRST, running[name]))
                asked[name] = _round_trips(running[name])
            for name, case in cases.items():
                for contender in (each for each in case.contenders if each in running):
                    self._measure(name, case.load, contender, running[contender])
            for name, before in asked.items():
                self.done.round_trips[name] = _round_trips(running[name]) - before
            for name, one in running.items():
                self.done.peak_bytes[name] = peak_bytes(tree(list(one.roots)))
        for one in running.values():
            self._check(one)

    def fresh(self, name: str, case: Case) -> None:
        """Measure contenders each in a process that has done little so far, on a ledger of few calls."""
        for contender in case.contenders:
            with contextlib.suppress(NotInstalled):
                with self._start(contender, "fresh") as running:
                    before = _load(_FEW, running)
                with self._start(contender, "fresh") as running:
                    running.add(before)
                    running.add(_load(_FEW, running))  # what a first call imports is not a stream's
                    self._measure(name, case.load, contender, running)
                    if running.start_s is not None:
                        self.done.start_s[contender] = running.start_s
                self._check(running)

    def _start(self, name: str, where: str) -> AbstractContextManager[Contender]:
        folder = self._folder / where / re.sub(r"\W+", "-", name)
        folder.mkdir(parents=True, exist_ok=True)
        return CONTENDERS[name](self._endpoint, folder)

    def _measure(self, case: str, load: Load, name: str, contender: Contender) -> None:
        try:
            measured = _load(load, contender)
        except RuntimeError as error:
            if name.startswith("cab"):
                raise
            print(f"{name}, {case}: {error}")  # it has no figure here
            return
        contender.add(measured)
        self.done.measured.setdefault(case, {})[name] = measured

    def _check(self, contender: Contender) -> None:
        contender.check()
        self.done.answers += contender.answers if contender.ledger else 0


def _round_trips(contender: Contender) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{contender.port}/cab/health") as answer:
        return int(orjson.loads(answer.read())["ipc_round_trips"])


def _load(load: Load, to: Contender) -> Measured:
    authority = None if to.authority is None else str(to.authority)
    return measure(
        replace(
            load,
            port=to.port,
            roots=to.roots,
            key=to.key,
            headers=to.headers,
            authority=authority,
        )
    )


def _known(one: Round, case: str, contender: str, value: Value) -> float | None:
    found = one.measured.get(case, {}).get(contender)
    return value(found) if found else None


def _ratio(one: Round, case: str, contender: str, other: str, value: Value) -> float | None:
    a, b = _known(one, case, contender, value), _known(one, case, other, value)
    return a / b if a is not None and b else None
