import argparse
import csv
import io

import orjson
import pytest

from cab.adapters.ui.options import FORMS
from cab.adapters.ui.tables import ResultTable, TableFormat, flat, markdown, write

SHEET = ResultTable(("agent", "tokens"), [("a|b\\", "1,200"), ("evil\x1b[31m", "none")])
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
    assert markdown(ResultTable(("a",), [])) == "| a |\n| --- |\n"


def test_a_wide_table_has_a_line_per_row(capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe each row is one line."""
    lines = [line.split() for line in printed("table", capsys).splitlines()]
    assert ["a|b\\", "1,200"] in lines
    assert ["evil\\x1b[31m", "none"] in lines


def test_a_row_that_does_not_fit_is_a_block(capsys: pytest.CaptureFixture[str]) -> None:
    """Where a line is too long each row is a block of its own, with all its figures."""
    names = [f"figure {number}" for number in range(40)]
    write("table", ResultTable(("agent", *names), [("a", *names), ("b", *names)]), [])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "a"
    assert lines[1].split() == ["figure", "0", "figure", "0"]
    assert len([line for line in lines if line]) == 2 * 41


def test_a_block_says_what_its_texts_are(capsys: pytest.CaptureFixture[str]) -> None:
    """Of several texts above a block each follows its column's name, on one line."""
    names = [f"figure {number}" for number in range(40)]
    write("table", ResultTable(("A", "B", *names), [("a", "b\x1b", *names)], texts=2), [])
    assert capsys.readouterr().out.splitlines()[0] == "A a, B b\\x1b"


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
        "csv", ResultTable(("a",), []), [{text: text, "list": [text], "a": f"a{text}", **numbers}]
    )
    [row] = csv.DictReader(io.StringIO(capsys.readouterr().out, newline=""))
    assert row[f"'{text}"] == f"'{text}"
    assert row["a"] == f"a{text}"
    assert [row[name] for name in numbers] == ["-5", "-0.5", "-0.10", "+1e3", ""]
