"""Tables in the width that there is."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from cab.adapters.ui.layout import ELLIPSIS, LEAST_WIDTH, Column, cells, layout

WORDS = st.lists(
    st.sampled_from(["a", "tokens", "per-task", "cell", "A - B"]), min_size=1, max_size=4
).map(" ".join)
TEXTS = st.text(st.sampled_from("ab/ 日本é\u0301👍🇩🇪#"), max_size=40).map(str.strip)
NUMBERS = st.integers(-(10**9), 10**9).map("{:,}".format)
COLUMNS = st.builds(
    Column,
    WORDS,
    st.sampled_from(["number", "name", "text", "path"]),
    st.sampled_from(["", "s", "%"]),
    st.integers(0, 3),
    least=st.integers(1, 30),
    typical=st.integers(0, 15),
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Column], list[list[str]]]:
    columns = draw(st.lists(COLUMNS, min_size=1, max_size=8))
    texts = [TEXTS if column.is_cuttable else NUMBERS for column in columns]
    return columns, draw(st.lists(st.tuples(*texts).map(list), max_size=5))


@given(tables(), st.integers(1, 200))
def test_no_line_is_too_long_and_no_number_is_cut(
    table: tuple[list[Column], list[list[str]]], width: int
) -> None:
    """Whatever is in it, each line fits; a number or name that is shown is shown in full."""
    columns, rows = table
    found = layout(columns, rows, width)
    lines = [*found.head(), *map(found.line, rows)]
    assert max(map(cells, lines)) <= max(width, LEAST_WIDTH)
    assert set(found.left_out) <= {column.head for column in columns}
    for row in rows:
        line = found.line(row)
        whole = [row[n] for n in found.shown if not columns[n].is_cuttable]
        assert all(part in line for part in whole)


@given(tables())
def test_without_a_width_nothing_is_lost(table: tuple[list[Column], list[list[str]]]) -> None:
    """In a pipe all texts of all rows are there, and each row is as wide as the rule allows."""
    columns, rows = table
    found = layout(columns, rows, None)
    assert not found.left_out
    assert all(part in found.line(row) for row in rows for part in row)


@given(tables(), st.integers(LEAST_WIDTH, 100))
def test_a_wider_terminal_shows_no_less(
    table: tuple[list[Column], list[list[str]]], width: int
) -> None:
    """A column that fits is not lost when there is more room."""
    columns, rows = table
    narrow, wide = (layout(columns, rows, cells) for cells in (width, width + 20))
    assert set(narrow.shown) <= set(wide.shown)


ROWS = [("runs/january/aider", "1,200", "0.25"), ("x", "5", "none")]


def shown(columns: Sequence[Column], width: int | None) -> list[str]:
    found = layout(columns, ROWS, width)
    return [*found.head(), *map(found.line, ROWS)]


def test_what_goes_first() -> None:
    """Numbers stand at the right, heads take two lines, columns go by rank, paths lose their beginning."""
    columns = (
        Column("agent", "path", least=8),
        Column("tokens per cell"),
        Column("cost", unit="$", rank=1),
    )
    assert shown(columns, 45) == [
        "agent               tokens per cell  cost, $",
        "──────────────────  ───────────────  ───────",
        "runs/january/aider            1,200     0.25",
        "x                                 5     none",
    ]
    assert shown(columns, 36) == [
        "                      tokens  cost",
        "agent               per cell     $",
        "──────────────────  ────────  ────",
        "runs/january/aider     1,200  0.25",
        "x                          5  none",
    ]
    assert shown(columns, 20) == [
        "              tokens",
        "                 per",
        "agent           cell",
        "────────────  ──────",
        "…nuary/aider   1,200",
        "x                  5",
    ]


def test_a_later_number_takes_its_room_from_the_texts() -> None:
    """A number that was not foreseen is not cut, and its row is no longer than the others."""
    found = layout((Column("n", typical=3), Column("cell", "path", typical=30)), (), 24)
    line = found.line(("1,000,000", "sweep/agent/model/family/task"))
    assert line.startswith("1,000,000  …")
    assert cells(line) <= 24


def test_no_mark_stands_over_the_ellipsis() -> None:
    """Cut at its beginning, a text does not start with a combining mark whose letter is gone."""
    found = layout((Column("p", "path"),), [("e\u0301" * 30,)], 20)
    line = found.line(("e\u0301" * 30,))
    assert line == ELLIPSIS + "e\u0301" * 19
