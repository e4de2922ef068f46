"""The edge cases of the statistics, and what comes back: the table in docs/statistics.md is made from it."""

from collections.abc import Callable, Iterator
from typing import Any

from cab.scoring import Comparison, Figure, Observation, Settings, aggregate, compare, sum_calls
from cab.scoring.analysis.aggregate import Aggregate
from cab.scoring.ids import parse_cell_id
from cab.scoring.stats import censored_quantile, holm, mcnemar_test, sign_flip_test
from cab.scoring.stats.kaplan_meier import Duration
from tests.scoring.builders import opening, summed

VERDICTS = {"1": True, "0": False, "-": None}


def cells(agent: str = "a", sweep: str = "s", *, tasks: str, **fields: Any) -> list[Observation]:
    """Return the runs of some tasks.

    Args:
        agent: The agent.
        sweep: The sweep.
        tasks: Of each task its runs, `1` passed, `0` failed, `-` without verdict: `111 0` is two tasks.
        fields: Field -> its value of each run, in order.
    """
    runs = [
        (task, run, VERDICTS[verdict])
        for task, verdicts in enumerate(tasks.split())
        for run, verdict in enumerate(verdicts, 1)
    ]
    return [
        Observation(
            parse_cell_id(f"{sweep}/{agent}/m/f/t{task}#run{run}"),
            passed,
            **{name: values[index] for name, values in fields.items()},
        )
        for index, (task, run, passed) in enumerate(runs)
    ]


def group(seen: list[Observation], **options: Any) -> Aggregate:
    """Return the one group of some cells."""
    return aggregate(seen, by=("tui",), **options)[0]


def versus(a: str, b: str, metric: str = "pass_rate", **fields: Any) -> Comparison:
    """Return a comparison of two agents on the same tasks; fields are those of each, one after the other."""
    count = len(a.replace(" ", ""))
    ours = {name: values[:count] for name, values in fields.items()}
    theirs = {name: values[count:] for name, values in fields.items()}
    sides = ("a", cells("a", tasks=a, **ours)), ("b", cells("b", tasks=b, **theirs))
    return compare(*sides, [metric])[0]  # type: ignore[list-item]


def number(value: float | None) -> str:
    """Return a number with four digits, or all before the point."""
    if value is None:
        return "none"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def figure(found: Figure) -> str:
    """Return an estimate with its interval, or why there is none."""
    if found.value is None:
        least = "" if found.low is None else f", at least {number(found.low)}"
        return f"none: {found.reason}{least}"
    if found.low is None:
        return f"{number(found.value)}, no interval"
    high = "open" if found.high is None else number(found.high)
    return f"{number(found.value)} ({number(found.low)} to {high}), {found.method}"


def comparison(found: Comparison) -> str:
    """Return a comparison with what it cannot say."""
    if found.difference is None:
        return f"none: {found.reason}"
    ends = "no interval" if found.low is None else f"{number(found.low)} to {number(found.high)}"
    p = "no p" if found.p is None else f"p {number(found.p)}"
    detectable = f"detectable {number(found.detectable)}"
    why = f" ({found.detectable_reason})" if found.detectable_reason else ""
    reason = f"; {found.reason}" if found.reason else ""
    return f"{number(found.difference)}, {ends}, {p}, {detectable}{why}{reason}"


def of_k(found: Aggregate) -> str:
    """Return pass@k and pass^k of a group."""
    [only] = found.of_k
    return f"pass@k {figure(only.pass_at_k)}; pass^k {figure(only.pass_hat_k)}"


def _opened() -> str:
    """Return the sums of a cell that was opened and made no call."""
    sums = summed([opening()])
    return f"{sums.calls} calls, {sums.tokens.total.value} tokens"


COARSE = Settings(min_coverage=0.5)
RATE: list[tuple[str, Callable[[], str]]] = [
    ("pass rate: no verdict at all", lambda: figure(group(cells(tasks="- -")).pass_rate)),
    ("pass rate: 1 task, 1 of 1 run passed", lambda: figure(group(cells(tasks="1")).pass_rate)),
    ("pass rate: 1 task, 1 of 3 runs", lambda: figure(group(cells(tasks="100")).pass_rate)),
    (
        "pass rate: 2 tasks, 1 of 3 runs each",
        lambda: figure(group(cells(tasks="100 100")).pass_rate),
    ),
    (
        "pass rate: 2 tasks, all 3 runs of each passed",
        lambda: figure(group(cells(tasks="111 111")).pass_rate),
    ),
    (
        "run-weighted rate: tasks of 8 of 8 and 0 of 1",
        lambda: figure(group(cells(tasks="11111111 0")).pass_rate),
    ),
    (
        "task-weighted rate: tasks of 8 of 8 and 0 of 1",
        lambda: figure(group(cells(tasks="11111111 0")).pass_rate_task_weighted),
    ),
    ("pass@k, pass^k: k = 3, 2 runs", lambda: of_k(group(cells(tasks="10"), ks=(3,)))),
    (
        "pass@k, pass^k: k = 2, 1 run in each of 2 sweeps",
        lambda: of_k(group([*cells(tasks="1"), *cells(sweep="r", tasks="0")], ks=(2,))),
    ),
]
AMOUNTS: list[tuple[str, Callable[[], str]]] = [
    (
        "tokens per cell: 1 task, 100 and 300",
        lambda: figure(group(cells(tasks="11", total_tokens=[100, 300])).tokens_per_cell),
    ),
    (
        "tokens per cell: 2 tasks, 100 each",
        lambda: figure(group(cells(tasks="1 1", total_tokens=[100, 100])).tokens_per_cell),
    ),
    (
        "composite: 2 tasks, 0.8 and 0.6, 0.7 and 0.7",
        lambda: figure(group(cells(tasks="11 11", composite=[0.8, 0.6, 0.7, 0.7])).composite),
    ),
    (
        "tokens per cell: 3 tasks, 100, 300, unknown",
        lambda: figure(group(cells(tasks="1 1 1", total_tokens=[100, 300, None])).tokens_per_cell),
    ),
    (
        "the same with `min_coverage` 0.5",
        lambda: figure(
            group(
                cells(tasks="1 1 1", total_tokens=[100, 300, None]), settings=COARSE
            ).tokens_per_cell
        ),
    ),
    (
        "tokens per correct: nothing passed",
        lambda: figure(group(cells(tasks="0 0", total_tokens=[1, 1])).tokens_per_correct),
    ),
    (
        "tokens per correct: one of two unknown",
        lambda: figure(group(cells(tasks="1 1", total_tokens=[1, None])).tokens_per_correct),
    ),
    (
        "tokens per correct: 2 tasks, 100 per pass each",
        lambda: figure(group(cells(tasks="11 1", total_tokens=[150, 50, 100])).tokens_per_correct),
    ),
    (
        "tokens per correct: tasks of 100 passed, 200 failed",
        lambda: figure(group(cells(tasks="1 0", total_tokens=[100, 200])).tokens_per_correct),
    ),
    (
        "median wall clock: stopped at 60 s, 2 of 3 cells",
        lambda: figure(
            group(
                cells(
                    tasks="1 0 0",
                    wall_clock_ms=[10_000, 60_000, 60_000],
                    stopped=[False, True, True],
                )
            ).wall_clock_ms_median
        ),
    ),
]
PAIRS: list[tuple[str, Callable[[], str]]] = [
    (
        "A - B: no task in common",
        lambda: comparison(compare(("a", cells(tasks="1")), ("b", []))[0]),
    ),
    ("A - B: 1 task", lambda: comparison(versus("1", "0"))),
    ("A - B: 2 tasks, both sides alike", lambda: comparison(versus("1 0", "1 0"))),
    (
        "A - B: 3 tasks of 3 runs, 2/3 and 1/3, 1/3 and 0, 1 and 2/3",
        lambda: comparison(versus("110 100 111", "100 000 110")),
    ),
    ("A - B: 4 tasks, 1 1 0 0 more passed", lambda: comparison(versus("1 1 1 0", "0 0 1 0"))),
    (
        "A - B of tokens: one of two pairs unknown",
        lambda: comparison(versus("1 1", "1 1", "total_tokens", total_tokens=[1, None, 1, 1])),
    ),
    ("McNemar's p: no task that only one passed", lambda: number(mcnemar_test(3, 0, 0).p)),
    ("sign flips: all differences 0", lambda: number(sign_flip_test([0.0, 0.0]).p)),
    ("Holm's p: no comparison", lambda: str(holm([]))),
    (
        "median of durations that were all cut off at 5",
        lambda: number(censored_quantile([Duration(5, True)], 0.5).value),
    ),
]
SUMS: list[tuple[str, Callable[[], str]]] = [
    ("calls of a cell that no record is about", lambda: str(sum_calls([]))),
    ("calls of a cell that was opened, and made none", _opened),
]


def edge_case_table() -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| case | what comes back |"
    yield "|---|---|"
    for case, make in (*RATE, *AMOUNTS, *PAIRS, *SUMS):
        yield f"| {case} | {make()} |"
