import argparse
import csv
import io

import orjson
import pytest

from cab.adapters.ui.layout import Column
from cab.adapters.ui.options import FORMS
from cab.adapters.ui.tables import ResultTable, TableFormat, flat, markdown, write

SHEET = ResultTable(
    (Column("agent", "text"), Column("tokens")), [("a|b\\", "1,200"), ("evil\x1b[31m", "none")]
)
OBJECTS = [
    {"agent": "a", "tokens": {"value": 1200, "low": None}, "ks": [1]},
    {"agent": "b", "more": {}},
]


def printed(form: TableFormat, capsys: pytest.CaptureFixture[str]) -> str:
    write(form, SHEET, OBJECTS)
    return capsys.readouterr().out


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON holds the objects as they are."""
    lines = printed("json", capsys).splitlines()
    assert [orjson.loads(line) for line in lines] == OBJECTS


def test_csv_has_a_header_for_all_rows(capsys: pytest.CaptureFixture[str]) -> None:
    """CSV has one column per figure of any row; what is null or missing is empty, never 0."""
    assert printed("csv", capsys) == (
        "agent,tokens.value,tokens.low,ks,more\na,1200,,[1],\nb,,,,\n"
    )


def test_markdown_keeps_its_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """A bar in a name does not end its column, and what a terminal would obey is spelled out."""
    assert printed("markdown", capsys) == (
        "| agent | tokens |\n| --- | ---: |\n| a\\|b\\\\ | 1,200 |\n| evil\\\\x1b[31m | none |\n"
    )
    assert markdown(ResultTable((Column("a", "text"),), [])) == "| a |\n| --- |\n"


def test_in_a_pipe_a_row_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe nothing is cut or left out, however long it is."""
    long = "x" * 500
    write("table", SHEET._replace(rows=[(long, "1,200"), ("evil\x1b[31m", "none")]), [])
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["agent", "tokens"]
    assert [row.split() for row in rows] == [[long, "1,200"], ["evil\\x1b[31m", "none"]]


def test_objects_are_flattened() -> None:
    """Objects in objects get dotted names, lists become their JSON."""
    assert flat({"a": {"b": {"c": 1}}, "d": [{"e": None}], "f": {}}) == {
        "a.b.c": 1,
        "d": '[{"e":null}]',
        "f": None,
    }


def test_one_form_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    """The options choose one form, a table without any, and two are an error."""
    parser = argparse.ArgumentParser()
    FORMS.add_to(parser)
    assert parser.parse_args([]).form == "table"
    assert parser.parse_args(["--csv"]).form == "csv"
    with pytest.raises(SystemExit):
        parser.parse_args(["--csv", "--json"])
    assert "not allowed with" in capsys.readouterr().err


FORMULAS = ["=1+1", "@SUM(A1)", "+cmd", "-cmd", "\t=1", "\r=1", "\n=1", "\uff1d1"]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_of_a_csv_is_a_formula(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What a spreadsheet would compute is written as text, names of columns too; numbers stay numbers."""
    numbers = {"n": -5, "x": -0.5, "usd": "-0.10", "plus": "+1e3", "none": None}
    write(
        "csv",
        ResultTable((Column("a", "text"),), []),
        [{text: text, "list": [text], "a": f"a{text}", **numbers}],
    )
    [row] = csv.DictReader(io.StringIO(capsys.readouterr().out, newline=""))
    assert row[f"'{text}"] == f"'{text}"
    assert row["a"] == f"a{text}"
    assert [row[name] for name in numbers] == ["-5", "-0.5", "-0.10", "+1e3", ""]
