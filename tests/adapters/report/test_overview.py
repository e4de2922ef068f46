"""Pages of many cells: what each figure covers, what has no place on a scale, and who is compared."""

import re
import statistics
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markupsafe import Markup

from cab.adapters.report.comparison.kept import KeptComparison
from cab.adapters.report.comparison.pages import LIST_FILE, ComparisonPages
from cab.adapters.report.comparison.sides import MOST_SIDES
from cab.adapters.report.entries import SiteEntry
from cab.adapters.report.overview.charts import LogAxis
from cab.adapters.report.overview.groups import group_table, usual_runs
from cab.adapters.report.overview.matrix import matrix
from cab.adapters.report.overview.page import overview_page
from cab.adapters.report.overview.self_counts import self_counts
from cab.adapters.report.overview.solved import cost_plot, token_plot
from cab.adapters.report.overview.spread import spread
from cab.adapters.report.placed import placed_cells
from cab.adapters.report.render.badge import text_width
from cab.adapters.report.render.marks import MarkedText
from cab.adapters.report.render.numbers import compact
from tests.adapters.report.siteentries import entry


def runs(
    tui: str, *verdicts: bool | None, model: str = "m", task: str = "f/t", **fields: Any
) -> list[SiteEntry]:
    """Return entries of some runs of one agent on one task."""
    return [
        entry(f"s/{tui}/{model}/{task}#run{n}", passed=verdict, **fields)
        for n, verdict in enumerate(verdicts, 1)
    ]


def test_the_matrix_has_a_mark_per_run() -> None:
    """Passed, failed, failed without a change, and what says nothing; runs that are missing have a place."""
    cells = placed_cells(
        [*runs("a", True, False), *runs("b", None), entry("s/c/m/f/t", passed=False, changes=0)]
    )
    found = matrix(cells)
    (group,) = found.groups
    fields = {row.title: row.fields[0] for row in group.rows}
    kinds = {name: [cell.kind for cell in field.runs] for name, field in fields.items()}
    assert kinds == {"a": ["passed", "failed"], "b": ["uncounted"], "c": ["unchanged"]}
    assert {name: field.missing for name, field in fields.items()} == {"a": 0, "b": 1, "c": 1}
    assert [row.passed for row in group.rows] == ["1 of 2", "0 of 0", "0 of 1"]
    assert found.foot == ["1 of 3", "1 of 3"]


@pytest.mark.parametrize(("tasks", "corner"), [(3, "agent"), (20, "task")])
def test_many_tasks_are_rows(tasks: int, corner: str) -> None:
    """A table grows downward, and scrolls by itself once it is tall."""
    found = matrix(placed_cells([e for n in range(tasks) for e in runs("a", True, task=f"f/t{n}")]))
    assert found.corner == corner
    assert not found.is_tall


def test_very_many_cells_are_counts() -> None:
    """4,001 links would be no page."""
    cells = placed_cells(
        [entry(f"s/a/m/f/t{n % 40}#run{n // 40 + 1}", passed=n % 2 == 0) for n in range(4040)]
    )
    found = matrix(cells)
    field = found.groups[0].rows[0].fields[0]
    assert (found.has_marks, found.is_tall, list(field.runs), field.counts) == (
        *(False, True, []),
        "101 of 101",
    )


def test_a_group_with_a_gap_has_at_least_what_is_known() -> None:
    """A sum takes its weakest mark; with a gap there is no value to sort by, and no place on the scale."""
    entries = [
        *runs("a", True, True, task="f/t"),
        *runs("b", True, task="f/t"),
        *runs("b", True, task="f/u", tokens=None, known_tokens=500, mark="at least"),
        *runs("c", True, task="f/t", mark="estimated"),
        *runs("d", False, task="f/t"),
    ]
    table = group_table(placed_cells(entries))
    solved = {row.tui: row.fields[2 + (table.k is not None)] for row in table.rows}
    texts = {name: field.shown for name, field in solved.items()}
    shown = {
        name: (text.text, text.mark, solved[name].value)
        for name, text in texts.items()
        if isinstance(text, MarkedText)
    }
    assert shown == {
        "a": ("1,000", "measured", 1000.0),
        "b": ("750", "at least", None),
        "c": ("1,000", "estimated", 1000.0),
        "d": (None, "measured", None),
    }
    plot = token_plot(table.rows)
    assert [(group.name, group.reason) for group in plot.beyond] == [
        ("b × m", "known of 50\u202f%"),
        ("d × m", "nothing passed"),
    ]
    assert plot.front == ["a × m (100\u202f%, 1,000)", "c × m (100\u202f%, 1,000)"]


def test_times_of_another_harness_are_not_measured() -> None:
    """A median of times, one of which is self-reported, is self-reported; so is what is made from it."""
    cells = placed_cells([*runs("a", True), *runs("a", True, task="f/u", clock="self-reported")])
    (row,) = group_table(cells).rows
    shown = [field.shown for field in row.fields[-2:]]
    assert [each.mark for each in shown if isinstance(each, MarkedText)] == ["self-reported"] * 2


def test_what_costs_nothing_is_on_the_front_and_not_on_the_scale() -> None:
    """An unknown price stands beside it, with another reason."""
    entries = [*runs("a", True, cost="0"), *runs("b", True), *runs("c", True, cost=None)]
    plot = cost_plot(group_table(placed_cells(entries)).rows)
    reasons = {group.name: group.reason for group in plot.beyond}
    assert reasons["a × m"].startswith("nothing: ")
    assert reasons["c × m"] == "not recorded"
    assert plot.front == ["a × m (100\u202f%, $0)"]
    assert "b × m" in plot.chart


def test_without_any_price_there_is_no_plot() -> None:
    """No axis is made up."""
    plot = cost_plot(group_table(placed_cells(runs("a", True, cost=None))).rows)
    assert (plot.chart, plot.front) == ("", [])
    assert [group.reason for group in plot.beyond] == ["not recorded"]


def test_usual_runs() -> None:
    """The number of runs that most have; one run says nothing about several."""
    assert usual_runs(placed_cells(runs("a", True))) is None
    both = [*runs("a", True, False), *runs("b", True, True), *runs("c", True)]
    assert usual_runs(placed_cells(both)) == 2


@given(st.lists(st.integers(1, 10**9), min_size=2, max_size=30))
def test_quantiles_of_the_spread(tokens: list[int]) -> None:
    """They are those of the standard library's inclusive method."""
    entries = [entry(f"s/a/m/f/t#run{n}", tokens=each) for n, each in enumerate(tokens, 1)]
    (row,) = spread(placed_cells(entries)).rows
    quartiles = statistics.quantiles(tokens, n=4, method="inclusive")
    for shown, expected in zip(row.quantiles[1:4], quartiles, strict=True):
        assert shown is not None
        assert abs(int(shown.replace(",", "")) - expected) <= 1
    assert row.quantiles[0] == f"{min(tokens):,}"
    assert row.quantiles[4] == f"{max(tokens):,}"


@given(st.lists(st.floats(1e-9, 1e12), min_size=1, max_size=9), st.integers(2, 4))
@example([1.192e-7], 4)
def test_a_log_axis_holds_what_it_was_made_for(values: list[float], least: int) -> None:
    """Every value has a place within it, in order, and it has ticks."""
    axis = LogAxis(values)
    places = [axis.percent(value) for value in sorted(values)]
    assert places == sorted(places)
    assert all(0 < place < 100 for place in places)
    assert len(axis.ticks(least)) >= least


@pytest.mark.parametrize(
    ("value", "text"),
    [(20, "20"), (1500, "1.5k"), (1e7, "10M"), (1e9, "1G"), (2e15, "2000T"), (0.00002, "0.00002")],
)
def test_ticks_have_few_characters_and_no_exponent(value: float, text: str) -> None:
    """Ten million is not `10000k`, and not so wide that it reaches its neighbour."""
    assert compact(value) == text


def test_a_long_name_of_an_agent_stays_before_its_chart() -> None:
    """It is shortened to the room that it has, also in full-width letters; the whole name is its title."""
    for name in ("a-very-long-agent-name-of-some-size", "\u65e5\u672c" * 9, "<&>" * 20):
        chart = spread(placed_cells(runs(name, True))).charts[0].chart
        found = re.search(r'<text class="to"[^>]*>([^<]*)<title>([^<]*)</title>', chart)
        assert found is not None
        assert Markup(found[2]).unescape() == name
        shown = Markup(found[1]).unescape()
        assert "\u2026" in shown
        assert 80 < text_width(shown) <= 102


def test_own_counts_stand_against_the_endpoint_alone() -> None:
    """Estimated cells are left out; an agent that reports nothing has no figures."""
    entries = [
        *runs("a", True, True, own=900),
        *runs("a", True, task="f/u", own=5, mark="estimated"),
        *runs("b", True),
    ]
    a, b = self_counts(placed_cells(entries))
    assert (a.compared, a.equal, a.error, a.is_far_off) == ("2 of 3", 0, "-10.0\u202f%", True)
    assert (b.compared, b.equal, b.error) == ("0 of 1", None, None)


def pages_of(entries: list[SiteEntry]) -> dict[str, str]:
    """Return the pages of comparisons; all of them are new."""
    pages = dict(ComparisonPages(placed_cells(entries), "code").pages())
    return {file: text for file, text in pages.items() if text is not None}


def test_comparisons_of_a_site() -> None:
    """Each pair of agents, models and sweeps has a page; flipped tasks lead to the cells of both."""
    entries = [
        *runs("a", True, task="f/t"),
        *runs("a", True, task="f/u"),
        *runs("b", False, task="f/t"),
        *runs("b", True, task="f/u"),
    ]
    pages = pages_of(entries)
    listed = pages.pop(LIST_FILE)
    ((file, page),) = pages.items()
    assert f'href="{file}"' in listed
    flips = page.partition('id="flips"')[2].partition('id="pairs"')[0]
    linked = set(re.findall(r'href="\.\./(cells/[^"]+)"', flips))
    assert linked == {"cells/s-a-m-f-t-run1.html", "cells/s-b-m-f-t-run1.html"}
    assert "f/u" not in flips


def test_a_site_of_one_agent_compares_nothing() -> None:
    """It says so."""
    ((file, page),) = pages_of(runs("a", True)).items()
    assert file == LIST_FILE
    assert "nothing to compare" in page


def test_what_cannot_be_compared_says_why_in_a_few_words() -> None:
    """Agents without a common task, and a cost that nobody recorded."""
    entries = [*runs("a", True, task="f/t", cost=None), *runs("b", True, task="f/u", cost=None)]
    assert ">no task in common<" in pages_of(entries)[LIST_FILE]
    entries += [*runs("b", True, task="f/t", cost=None)]
    page = next(iter(pages_of(entries).values()))
    assert ">not recorded</span></td>" in page.partition(">cost per cell<")[2].partition("</tr>")[0]


def test_a_pair_of_very_many_runs_stays_a_line() -> None:
    """The first runs have marks; the others are counted, and the mean is of all."""
    entries = [*runs("a", *[True] * 1000), *runs("b", *[False] * 3)]
    page = next(iter(pages_of(entries).values()))
    assert "and 980 more" in page
    assert page.count('href="../cells/') == 2 * (20 + 3)


def test_of_many_agents_the_largest_are_compared() -> None:
    """Pages grow with the square of the sides; those left out are counted."""
    entries = [
        e for n in range(MOST_SIDES + 3) for e in runs(f"a{n}", *[True] * (2 if n > 2 else 1))
    ]
    pages = pages_of(entries)
    assert len(pages) == 1 + MOST_SIDES * (MOST_SIDES - 1) // 2
    assert "3 more are not" in pages[LIST_FILE]
    assert "cab compare A B --by tui --runs RUNS" in pages[LIST_FILE]
    assert "a0" not in pages[LIST_FILE]


def test_what_was_compared_is_not_compared_again() -> None:
    """A pair with the same cells keeps its page and its line in the list; a changed one gets both anew."""
    sides = {
        name: [*runs(name, True, task="f/t"), *runs(name, False, task="f/u")] for name in "abc"
    }
    first = ComparisonPages(placed_cells([e for side in sides.values() for e in side]), "code")
    before = dict(first.pages())
    stored = [KeptComparison.of(orjson.loads(orjson.dumps(each.as_dict()))) for each in first.kept]

    again = ComparisonPages(
        placed_cells([e for side in sides.values() for e in side]), "code", stored
    )
    pages = dict(again.pages())
    assert pages.pop(LIST_FILE) == before[LIST_FILE]
    assert set(pages.values()) == {None}
    assert again.kept == first.kept

    sides["c"] = [*runs("c", True, task="f/t"), *runs("c", True, task="f/u")]
    changed = ComparisonPages(
        placed_cells([e for side in sides.values() for e in side]), "code", stored
    )
    assert sorted(text is None for text in dict(changed.pages()).values()) == [False] * 3 + [True]
    other = ComparisonPages(
        placed_cells([e for side in sides.values() for e in side]), "other", stored
    )
    assert None not in dict(other.pages()).values()


def test_names_are_texts() -> None:
    """Agents, models and tasks of any name are shown, not run."""
    hostile = '<img src=x onerror="alert(1)">\u202e'
    entries = [*runs(f"a{hostile.replace('/', '')}", True, model=hostile, task=f"f/{hostile}")]
    entries += runs("b", False, model=hostile, task=f"f/{hostile}")
    for page in [overview_page(placed_cells(entries)), *pages_of(entries).values()]:
        assert "<img" not in page
        assert "\u202e" not in page


def test_ids_without_parts_are_counted() -> None:
    """Cells that can be in no group are named as left out, and an overview of none is a page too."""
    assert "1 more is only in the" in overview_page(placed_cells(runs("a", True)), left_out=1)
    assert "0 of 0 cells passed" in overview_page([])
