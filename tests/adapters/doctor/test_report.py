"""The doctor's verdicts and tables, from evidence written by hand."""

from typing import Any

import pytest

from cab.adapters.doctor.diagnosis import Diagnosis, error_of_own, listed
from cab.adapters.doctor.evidence import Evidence, ObservedAttempt
from cab.adapters.doctor.leaks.finder import Leak
from cab.adapters.doctor.probes import PROBES
from cab.adapters.doctor.report import (
    behaviour,
    behaviour_row,
    metered_row,
    verdict,
    with_rows,
)
from cab.scoring.cells.cell import SelfReport


def attempt(at_ms: float = 0.0, reason: str = "completed", **changes: Any) -> ObservedAttempt:
    fields: dict[str, Any] = {
        "endpoint": "chat.completions",
        "model": "m",
        "status": 200,
        "end_reason": reason,
        "started_ms": at_ms,
        "ended_ms": at_ms + 100,
    }
    return ObservedAttempt(**(fields | changes))


def shown(**changes: Any) -> Evidence:
    fields: dict[str, Any] = {
        "probe": "normal",
        "model": "m",
        "dialect": "chat.completions",
        "exit_code": 0,
        "timed_out": False,
        "duration_ms": 4000.0,
        "passed": True,
        "attempts": (attempt(), attempt(200)),
        "prompt_tokens": 90,
        "completion_tokens": 10,
        "differences": (),
        "past_the_proxy": 0,
        "other_keys": 0,
        "other_requests": 0,
        "own": None,
        "own_promised": False,
        "unreadable": None,
        "leaks": (),
        "hosts": {},
        "isolated": True,
        "undeclared": (),
        "elsewhere": (),
        "not_covered": (),
        "left_running": 0,
        "outlived": 0,
    }
    return Evidence(**(fields | changes))


def own(prompt: int | None, completion: int | None, *, exact: bool = True) -> SelfReport:
    total = None if prompt is None or completion is None else prompt + completion
    return SelfReport(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=total,
        source="x",
        exact=exact,
    )


def total_only(total: int, *, exact: bool) -> SelfReport:
    return own(None, None, exact=exact).model_copy(update={"total_tokens": total})


DIFFERS = "its own count is called exact and differs from the meter's"


def diagnosis(broken: dict[str, str] | None = None, /, **evidence: Evidence) -> Diagnosis:
    return Diagnosis("agent", "1.2", "chat.completions", "2026-11-20", evidence, broken or {})


def test_an_agent_that_is_metered_holds() -> None:
    """Nothing to object to: the verdict is yes, and the row shows both sides' figures."""
    found = diagnosis(normal=shown(own=own(90, 10)))
    assert found.faults == []
    assert list(metered_row(found).values()) == [
        *("agent", "1.2", "2026-11-20", "chat.completions"),
        *("2, 90 + 10 tokens: equal", "equal", "declared", "none", "yes; under normal only"),
    ]
    assert found.as_dict()["holds"] is True


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"differences": ("one call is missing",)}, "one call is missing"),
        ({"past_the_proxy": 2}, "2 requests bypassed the proxy"),
        ({"past_the_proxy": 1}, "1 request bypassed the proxy"),
        ({"other_keys": 1}, "1 request used another key than the cell's"),
        ({"outlived": 2}, "2 processes escaped the runner and still ran after the end"),
        (
            {"attempts": (attempt(endpoint="messages"),)},
            "called another endpoint than chat.completions: messages",
        ),
        ({"leaks": (Leak("endpoint's key", "HOME/x"),)}, "the endpoint's key is in HOME/x"),
        ({"attempts": (attempt(model="gpt-4o-mini"),)}, "asked for another model: gpt-4o-mini"),
        ({"attempts": (attempt(model=None),)}, "asked for another model: none"),
        ({"undeclared": ("a.log",)}, "left undeclared files: a.log"),
        ({"attempts": ()}, "no model call reached the proxy"),
        ({"passed": False}, "the task was not solved"),
        ({"timed_out": True}, "did not end within 4 s"),
        ({"unreadable": "odd"}, "its own count cannot be read: odd"),
        ({"own_promised": True}, "its adapter promises an exact own count, and there is none"),
        ({"own_promised": True, "unreadable": "odd"}, "its own count cannot be read: odd"),
        ({"own": own(89, 10)}, DIFFERS),
        ({"own": own(80, 20)}, DIFFERS),
        ({"own": own(90, None)}, DIFFERS),
        ({"own": total_only(100, exact=True)}, DIFFERS),
        ({"own": own(90, 10), "prompt_tokens": None}, DIFFERS),
        ({"own": own(None, 10), "prompt_tokens": None}, DIFFERS),
    ],
)
def test_each_fault_is_named(changes: dict[str, Any], fault: str) -> None:
    """What must not be is named, with the probe that showed it."""
    assert diagnosis(normal=shown(**changes)).faults == [f"normal: {fault}"]


def test_a_failing_endpoint_excuses_the_task_and_nothing_else() -> None:
    """Under another probe an unsolved task is behaviour; a difference is a fault all the same, and so is silence."""
    bad = shown(probe="cut", passed=False, timed_out=True, differences=("d",))
    assert diagnosis(cut=bad).faults == ["cut: d"]
    silent = shown(probe="budget", passed=False, attempts=())
    assert diagnosis(budget=silent).faults == ["budget: no model call reached the proxy"]
    assert diagnosis({"cut": "no room"}).faults == ["cut: could not be run: no room"]


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (own(100, 10, exact=False), "+10.0%"),
        (own(None, 10), "incomplete"),
        (None, "none"),
        (own(90, 10), "equal"),
        (own(80, 20), "equal in total only"),
        (total_only(100, exact=False), "equal in total only"),
    ],
)
def test_the_own_count_is_compared_with_the_meters(report: SelfReport | None, text: str) -> None:
    """The error is the agent's total less the meter's, over the meter's: 10 / 100."""
    assert metered_row(diagnosis(normal=shown(own=report)))["own count"] == text


def test_an_error_needs_both_counts() -> None:
    """Where the meter does not know, there is no error."""
    assert error_of_own(shown(own=own(3, 2), prompt_tokens=None)) is None
    assert error_of_own(shown(own=own(0, 0), prompt_tokens=0, completion_tokens=0)) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"attempts": (attempt(0, "upstream_error"), attempt(1600))},
            "2 requests, waits 1.5 s, goes on and solves the task",
        ),
        ({"duration_ms": 12345.0, "passed": False}, "2 requests, gives up after 12 s, exit 0"),
        (
            {"attempts": (attempt(0, "rejected"),), "passed": False, "exit_code": 1},
            "1 request, gives up after 4.0 s, exit 1",
        ),
        ({"timed_out": True, "passed": False}, "2 requests, still running after 4.0 s"),
        (
            {"left_running": 1},
            "2 requests, solves the task, leaves 1 process running",
        ),
    ],
)
def test_behaviour_in_words(changes: dict[str, Any], words: str) -> None:
    """Requests, the pause after the first failure, and how it ended."""
    assert behaviour(shown(**changes)) == words


def test_no_pause_after_an_end_that_is_not_known() -> None:
    """Where the failed request's end is not known, nothing is made up: the cell has no pause."""
    broken_off = shown(attempts=(attempt(0, "upstream_cut", ended_ms=None), attempt(1600)))
    assert broken_off.pause_ms is None
    assert "waits" not in behaviour(broken_off)


def test_a_probe_that_met_nothing_says_so() -> None:
    """Where no request failed although one should have, the cell does not read like a recovery."""
    assert behaviour(shown(probe="cut_stream")) == "2 requests, none of them fails, solves the task"
    hung_up = shown(probe="limit", attempts=(attempt(reason="client_gone"),))
    assert hung_up.failed == ()


def test_what_was_not_examined_is_said() -> None:
    """A missing run leaves a dash; what could not be examined is beside the verdict."""
    found = diagnosis({"normal": "no room", "budget": "no room"})
    assert list(metered_row(found).values())[4:8] == ["-"] * 4
    assert behaviour_row(found) == {"agent": "agent", "budget": "could not be run"}
    not_isolated = diagnosis(normal=shown(isolated=False, elsewhere=None))
    row = metered_row(not_isolated)
    assert row["other hosts asked for"] == "not known"
    assert row["scratch files"] == "declared; outside its folders: not known"
    assert row["holds"].endswith("not examined: other hosts, files outside its folders")
    assert not_isolated.as_dict()["not_examined"] == ["other hosts", "files outside its folders"]


def test_yes_alone_means_every_probe() -> None:
    """Only an agent that was examined under all probes, and wholly, has a verdict without an if."""
    every = {name: shown(probe=name) for name in PROBES}
    assert verdict(diagnosis(**every)) == "yes"
    assert verdict(diagnosis(**every | {"limit": shown(not_covered=("/x: no",))})) == (
        "yes; not examined: /x: no"
    )


def test_own_counts_of_all_tasks() -> None:
    """An own count must hold on every task; where it differs between them each is shown."""
    good, bad = shown(own=own(90, 10)), shown(probe="long_task", own=own(50, 4), passed=False)
    found = diagnosis(normal=good, several_files=good, long_task=bad)
    assert metered_row(found)["own count"] == (
        "equal (normal), equal (several files), -46.0% (long task)"
    )
    assert found.faults == ["long_task: the task was not solved", f"long_task: {DIFFERS}"]
    assert "long task" not in behaviour_row(found)


def test_what_it_leaves_is_listed() -> None:
    """Undeclared files, files outside its folders and processes are in one cell."""
    left = shown(undeclared=("a",), elsewhere=("/tmp/b",), left_running=2)
    assert metered_row(diagnosis(normal=left))["scratch files"] == (
        "undeclared: a; outside its folders: /tmp/b; leaves 2 processes running"
    )


def test_hosts_are_listed_with_how_often() -> None:
    """Names and addresses that were tried stand in order, with a number from two on."""
    found = diagnosis(normal=shown(hosts={"b.org": 3, "192.0.2.7:443": 1}))
    assert metered_row(found)["other hosts asked for"] == "192.0.2.7:443, b.org (3)"
    assert listed(list("abcde")) == "a, b, c and 2 more"


def test_package_indexes_are_named_by_their_kind() -> None:
    """Hosts of one kind stand as one, with their sum; `--json` still has the names."""
    hosts = {"packages.example.org": 2, "files.example.org": 1, "b.org": 1}
    indexes = dict.fromkeys(list(hosts)[:2], "the Python package index")
    found = diagnosis(normal=shown(hosts=hosts, indexes=indexes))
    assert metered_row(found)["other hosts asked for"] == "b.org, the Python package index (3)"
    assert found.evidence["normal"].hosts == hosts


def test_tokens_that_are_not_known_are_no_zero() -> None:
    """A sum that lacks a part is a dash."""
    cell = metered_row(diagnosis(normal=shown(prompt_tokens=None)))["requests: served = ledger"]
    assert cell == "2, - + 10 tokens: equal"


PAGE = "<!-- metered -->\n<!-- /metered -->\n<!-- behaviour -->\n<!-- /behaviour -->\n"


def test_a_probe_alone_fills_its_column_alone() -> None:
    """Other columns keep what they have, and the first table changes only if something does not hold."""
    whole = with_rows(PAGE, [diagnosis(normal=shown(), limit=shown(probe="limit"))])
    more = with_rows(whole, [diagnosis(budget=shown(probe="budget", passed=False))])
    assert "| yes; under normal, limit only |" in more
    row = next(line for line in more.splitlines() if line.startswith("| agent | -"))
    assert row.split(" | ")[6:] == [
        "2 requests, none of them fails, gives up after 4.0 s, exit 0",
        "2 requests, none of them fails, solves the task |",
    ]
    assert "| no: budget: d |" in with_rows(more, [diagnosis(budget=shown(differences=("d",)))])
