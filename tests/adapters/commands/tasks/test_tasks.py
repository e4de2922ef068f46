"""`cab tasks`."""

from pathlib import Path

import orjson
import pytest

from cab.adapters.cli import main
from cab.adapters.tasks.loader import list_tasks


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    """The table names each task in one piece, its language, its needs and how it is checked."""
    assert main(["tasks", "list"]) == 0

    out = capsys.readouterr().out
    for task in list_tasks():
        assert task.id in out
    assert "javascript" in out
    assert "Python only" in out
    assert "questions" in out
    assert "the document" in out


def test_list_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A program that is missing or does not work is marked, and one line says how to get it."""
    for name, text in (
        ("cc", "#!/bin/sh\n"),
        ("cargo", "#!/bin/sh\necho no toolchain >&2; exit 1\n"),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert main(["tasks", "list"]) == 0

    out = capsys.readouterr().out
    assert "node MISSING" in out
    assert "cc ok" in out
    assert out.count("node is not on PATH: install Node.js") == 1
    assert "cc is not on PATH" not in out
    assert "cargo BROKEN" in out
    assert out.count("cargo does not work here (cargo --version: no toolchain): install Rust") == 1


def test_list_json(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """With --json each task is one object, with family, language, and needs as met or not."""
    assert main(["tasks", "list", "--json"]) == 0

    rows = [orjson.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert [row["task_id"] for row in rows] == [task.id for task in list_tasks()]
    (row,) = [row for row in rows if row["task_id"] == "polyglot/c-utf8-copy"]
    assert (row["family"], row["language"]) == ("polyglot", "c")
    assert [need["command"] for need in row["needs"]] == ["cc", "make"]
    assert {need["met"] for need in row["needs"]} <= {True, False}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("polyglot/python-error-handling", "right answer:     a change"),
        ("integrity/ambiguous-ticket", "right answer:     a document, and no changed source"),
        ("integrity/protected-tests", "forbidden files:  **/conftest.py"),
        ("polyglot/rust-error-handling", "checked by:       hidden tests, 14 questions"),
    ],
)
def test_show(capsys: pytest.CaptureFixture[str], name: str, said: str) -> None:
    """A task is shown with its family, language and prompt, and what it looks at."""
    assert main(["tasks", "show", name]) == 0

    out = capsys.readouterr().out
    assert f"task:             {name}\n" in out
    assert f"family:           {name.split('/', maxsplit=1)[0]}\n" in out
    assert "language:         " in out
    assert said in out
    assert "expected changes: " in out
    assert "missing:" not in out


def test_show_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What a task misses here is shown with how to get it."""
    monkeypatch.setenv("PATH", str(tmp_path))

    assert main(["tasks", "show", "polyglot/js-csv"]) == 0

    out = capsys.readouterr().out
    assert "needs:            node MISSING\n" in out
    assert "missing:          node is not on PATH: install Node.js 18" in out


def test_show_json(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """With --json it is one object."""
    assert main(["tasks", "show", "integrity/ambiguous-ticket", "--json"]) == 0

    assert orjson.loads(capsysbinary.readouterr().out)["expected_refusal"] is True
