"""Tables in a page: new rows are merged in, others stay."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.adapters.doctor.page import merge_rows

PAGE = "# Page\n\n<!-- t -->\n<!-- /t -->\n\nend\n"
COLUMNS = ("agent", "x", "y")
CELLS = st.text("ab |\n\\", max_size=6)
ROW = st.fixed_dictionaries({"agent": st.from_regex(r"\A[a-z]{1,8}\Z"), "x": CELLS, "y": CELLS})


def test_rows_are_put_in_order_and_others_stay() -> None:
    """A new cell replaces that of its row; other rows and cells stay as they are."""
    page = merge_rows(PAGE, "t", COLUMNS, [{"agent": "b", "x": "1"}, {"agent": "a", "x": "2"}])
    page = merge_rows(page, "t", COLUMNS, [{"agent": "b", "y": "3 | 4"}])
    lines = ["| agent | x | y |", "| --- | --- | --- |", "| a | 2 | - |", "| b | 1 | 3 \\| 4 |"]
    assert page == f"# Page\n\n<!-- t -->\n{chr(10).join(lines)}\n<!-- /t -->\n\nend\n"


def test_a_column_may_be_added() -> None:
    """Rows of an older page keep their cells under the headings that they had."""
    page = merge_rows(PAGE, "t", ("agent", "y"), [{"agent": "a", "y": "1"}])
    assert "| a | - | 1 |" in merge_rows(page, "t", COLUMNS, [])


def test_a_page_without_the_table_is_refused() -> None:
    """A page that lacks the table's marks is refused."""
    with pytest.raises(ValueError, match="has no <!-- u -->"):
        merge_rows(PAGE, "u", COLUMNS, [])


@settings(deadline=None)
@given(st.lists(ROW, unique_by=lambda row: row["agent"]))
def test_merging_twice_changes_nothing(rows: list[dict[str, str]]) -> None:
    """The same rows once more give the same page, whatever the cells hold."""
    once = merge_rows(PAGE, "t", COLUMNS, rows)
    assert merge_rows(once, "t", COLUMNS, rows) == once
    assert merge_rows(once, "t", COLUMNS, []) == once
    assert once.count("\n| ") == len(rows) + 2
