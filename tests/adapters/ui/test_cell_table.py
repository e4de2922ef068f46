from collections.abc import Sequence
from io import StringIO

import pytest
from rich.console import Console, RenderableType

from cab.adapters.ui.cell_table import (
    cell_table,
    print_sentence,
    score_table,
    summary_of,
    summary_table,
    wide_console,
)
from cab.scoring import (
    Axes,
    Bundle,
    Cell,
    CheckOutcome,
    SelfReport,
    TaskFacts,
    TreeManifest,
    read_published,
    score_bundle,
    sum_calls,
)
from cab.scoring.ledger.records import AnyRecord
from cab.scoring.printable import printable
from tests.scoring.builders import (
    AFTER,
    BEFORE,
    CELL_ID,
    PAGES,
    check,
    end,
    facts,
    opening,
    refusal_task,
    task_facts,
    tree,
    uncounted,
)


def shown(what: RenderableType) -> str:
    """Return what a table looks like in a wide terminal without colours."""
    out = StringIO()
    Console(file=out, width=200, color_system=None).print(what)
    return out.getvalue()


def cell(
    calls: Sequence[AnyRecord] | None = None,
    *,
    task: TaskFacts | None = None,
    outcome: CheckOutcome | None = None,
    after: TreeManifest = AFTER,
    report: SelfReport | None = None,
) -> Cell:
    """Return a scored cell."""
    known = facts(task=task or task_facts(), check=outcome or check(), self_reported=report)
    sums = None if calls is None else sum_calls(calls)
    return score_bundle(Bundle(known, BEFORE, after, sums, ""))


def row(table: str, axis: str) -> str:
    """Return the line of an axis, white space made single."""
    return next(
        " ".join(line.split()) for line in table.splitlines() if line.strip().startswith(axis)
    )


def test_a_metered_cell_shows_its_numbers() -> None:
    """Tokens, calls and times are there with what they are made from."""
    text = shown(cell_table(cell([end("a"), end("b", usage_source="tokenizer"), end("c")])))
    assert text.startswith(CELL_ID)
    assert row(text, "pass") == "pass 1 exit 0"
    assert row(text, "tokens") == (
        "tokens 360 300 prompt, 60 completion; counted by tokenizer (1), upstream (2)"
    )
    assert row(text, "model calls") == "model calls 3 3 requests on the wire"
    assert row(text, "tokens per pass") == "tokens per pass 360 total tokens of a passed task"
    assert row(text, "wall clock") == (
        "wall clock 3.00 s model calls 1.50 s (0.50 s with overlaps once); agent 2.90 s"
    )
    assert "1 of 2 changes unexpected: .aider.log; 1 of them the agent's own scratch" in text
    assert row(text, "published/1").endswith("coverage 1.00; cost efficiency 0.882")
    assert row(text, "measured/1").startswith("measured/1 0.9")


def test_an_unmetered_cell_says_so() -> None:
    """What was not measured is never shown as 0."""
    text = shown(cell_table(cell(None)))
    assert row(text, "tokens") == "tokens not measured no ledger slice"
    assert row(text, "model calls") == "model calls not measured"
    assert row(text, "tokens per pass").startswith("tokens per pass none")
    assert "model calls not measured; agent 2.90 s" in row(text, "wall clock")
    assert "cost efficiency 1.000, as there are no tokens per pass" in text


def test_a_gap_in_the_counts_is_reported() -> None:
    """With a call that nobody counted the sum of the others is shown as what it is."""
    text = shown(cell_table(cell([end("a"), uncounted("b")])))
    assert (
        row(text, "tokens") == "tokens not measured calls without a count: 1; the others took 120"
    )


def test_a_slice_without_calls_shows_zeros() -> None:
    """A measured zero is shown as 0, and nobody is named as its source."""
    assert row(shown(cell_table(cell([opening()]))), "tokens") == "tokens 0 0 prompt, 0 completion"


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (check(passed=False, exit_code=101), "pass 0 exit 101"),
        (
            check(passed=False, exit_code=None, timed_out=True),
            "pass 0 the check was stopped at its limit",
        ),
        (
            check(passed=False, exit_code=None, reason="cargo is missing"),
            "pass not measured cargo is missing",
        ),
    ],
)
def test_a_check_that_did_not_pass_says_why(outcome: CheckOutcome, expected: str) -> None:
    """A failure, a time-out and a check that could not run are different words."""
    text = shown(cell_table(cell([], outcome=outcome)))
    assert row(text, "pass") == expected
    assert row(text, "tokens per pass") == "tokens per pass none the task did not pass"
    none = "published/1 none the task's check gave no verdict"
    assert row(text, "published/1").startswith(none) is (outcome.reason is not None)


def test_refusal_and_integrity_where_they_apply() -> None:
    """A right and a wrong refusal, kept and touched files, each with its reasons."""
    asked = tree({"src/lib.py": "old", "TICKET.md": "go faster", "CLARIFY.md": "which?"})
    right = shown(cell_table(cell([], task=refusal_task(), after=asked)))
    assert row(right, "refusal").startswith("refusal right clarification document(s) present")
    assert row(right, "integrity") == "integrity 1 protected files as they were"
    fixed = tree({"src/lib.py": "new", "TICKET.md": "done"})
    wrong = shown(cell_table(cell([], task=refusal_task(), after=fixed)))
    assert row(wrong, "refusal").startswith("refusal wrong no clarification document; source")
    assert row(wrong, "integrity") == "integrity 0 TICKET.md: modified"


def test_axes_that_do_not_apply_show_no_score() -> None:
    """Refusal and integrity of a task without them are not shown as 0 or 1."""
    text = shown(cell_table(cell([], after=BEFORE)))
    assert row(text, "refusal") == "refusal - does not apply"
    assert row(text, "integrity") == "integrity - does not apply"
    assert row(text, "blast radius") == "blast radius 0.000 nothing changed"


def test_expected_changes_alone_are_clean() -> None:
    """A run that changed what it should shows no names."""
    after = tree({"src/lib.py": "new", "TICKET.md": "go faster"})
    text = shown(cell_table(cell([], after=after)))
    assert row(text, "blast radius") == "blast radius 0.000 0 of 1 changes unexpected"


@pytest.mark.parametrize(("exact", "suffix"), [(True, ""), (False, ", not exact")])
def test_the_agents_own_count_is_a_line_of_its_own(exact: bool, suffix: str) -> None:
    """What the agent reports itself is shown beside the metered tokens, with its source."""
    report = SelfReport(
        prompt_tokens=1200, completion_tokens=None, total_tokens=None, source="stdout", exact=exact
    )
    assert row(shown(cell_table(cell([], report=report))), "agent's own count") == (
        "agent's own count not measured 1,200 sent, not measured received (stdout" + suffix + ")"
    )


def test_a_page_s_zeros_are_not_taken_for_measured() -> None:
    """The table of a published cell says what its zeros stand for, and shortens long lists."""
    page = read_published(PAGES[0])
    text = shown(score_table(page.cell_id, page.axes, []))
    assert row(text, "tokens").endswith("as published, where 0 means not measured")
    assert row(text, "blast radius").endswith(".aider.tags.cache.v4/cache.db and 3 more")
    summary = summary_of(page.cell_id, page.axes, [], "")
    assert (summary.tokens, summary.calls) == ("unknown", "unknown")


def test_names_cannot_give_orders_to_a_terminal() -> None:
    """Escape sequences in names that an agent chose are shown, not obeyed; markup neither."""
    after = tree({"src/lib.py": "new", "TICKET.md": "go faster", "\x1b[2J[bold]\u202e": "x"})
    text = shown(cell_table(cell([], after=after)))
    assert "\\x1b[2J[bold]\\u202e" in text
    assert printable("plain é\n") == "plain é\\n"


def test_many_cells_are_a_line_each() -> None:
    """The table of several cells has one line per cell, unknowns named."""
    scored = cell(None)
    line = summary_of(CELL_ID, scored.scorers, scored.profiles.values(), "identical")
    table = summary_table(scored.profiles, [line, line])
    assert [column.head for column in table.columns] == [
        *("cell", "pass", "tokens", "calls", "wall clock, s", "blast radius"),
        *(*scored.profiles, "stored score"),
    ]
    unknown = ("unknown", "unknown")
    row = (CELL_ID, "1", *unknown, "3.00", "0.500", "0.935", "0.793", "identical")
    assert table.rows == [row, row]


def test_sentences_are_broken_between_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal no word is cut in two; in a pipe a sentence is one line."""
    words = " ".join(["measured"] * 40)
    print_sentence(words)
    assert capsys.readouterr().out == f"{words}\n"
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_sentence(words)
    assert set(capsys.readouterr().out.split()) == {"measured"}


def test_a_composite_that_is_no_sum_says_so_in_its_column() -> None:
    """Among many cells one that did nothing, and one that called no model, are different words."""
    lines = [
        summary_of(CELL_ID, scored.scorers, scored.profiles.values(), "identical")
        for scored in (cell([end()], after=BEFORE), cell([opening()]))
    ]
    idle, silent = (line.composites[1] for line in lines)
    assert (idle, silent) == ("0.000 no_op", "invalid")


def test_money_has_a_line_where_a_price_is_known() -> None:
    """The cost is shown with its source; one unknown price makes it unknown, not smaller."""
    priced = end("a", cost_usd="0.25", price_source="upstream")
    assert row(shown(cell_table(cell([priced]))), "cost") == "cost $0.25 by the endpoint"
    assert row(shown(cell_table(cell([priced, end("b")]))), "cost") == (
        "cost not measured calls without a price: 1; the others cost $0.25 by the endpoint"
    )
    assert "\n  cost " not in shown(cell_table(cell([end("b")])))


def test_what_measured_did_not_measure_is_named() -> None:
    """The line of a profile names the terms that were not measured, and its reason if it has one."""
    text = shown(cell_table(cell(None)))
    assert row(text, "measured/1").endswith("coverage 0.81; not measured: cost")
    text = shown(cell_table(cell([opening()])))
    assert row(text, "measured/1") == "measured/1 none invalid: no_model_call; no call was made"


def test_a_pipe_is_wide_and_a_terminal_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are broken for a person at a terminal, and not for a program in a pipe."""
    monkeypatch.setenv("COLUMNS", "77")
    assert wide_console().width == 240
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    assert wide_console().width == 77


def test_an_axis_that_nobody_measured_is_said_to_be_so() -> None:
    """A cell of which only the verdict is known shows no 0 where nothing was measured."""
    unseen = {"latency": None, "blast_radius": None, "refusal": None, "integrity": None}
    axes = Axes.model_validate({**dict(cell().scorers), **unseen})
    out = shown(score_table("a cell", axes, []))
    for name in ("wall clock", "blast radius", "refusal", "integrity"):
        [line] = [line for line in out.splitlines() if line.strip().startswith(name)]
        assert "not measured" in line
    summary = summary_of("a cell", axes, [], "")
    assert (summary.wall, summary.blast) == ("unknown", "unknown")
