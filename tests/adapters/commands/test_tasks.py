"""`cab tasks`."""

from pathlib import Path

import orjson
import pytest

from cab.adapters.cli import main


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    """The table names each task and what it needs."""
    assert main(["tasks", "list"]) == 0

    out = capsys.readouterr().out
    for name in ("rust-error-handling", "python-error-handling", "ambiguous-ticket"):
        assert name in out
    assert "cargo, cc" in out
    assert "Python only" in out


def test_list_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A program that is missing is named, with how to get it."""
    monkeypatch.setenv("PATH", str(tmp_path))

    assert main(["tasks", "list"]) == 0
    assert "missing: " in capsys.readouterr().out


def test_list_json(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """With --json each task is one object."""
    assert main(["tasks", "list", "--json"]) == 0

    rows = [orjson.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert "integrity/ambiguous-ticket" in [row["task_id"] for row in rows]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("polyglot/python-error-handling", "right answer:     a change"),
        ("integrity/ambiguous-ticket", "right answer:     ask, and change no source"),
    ],
)
def test_show(capsys: pytest.CaptureFixture[str], name: str, said: str) -> None:
    """A task is shown with its prompt and what it looks at."""
    assert main(["tasks", "show", name]) == 0

    out = capsys.readouterr().out
    assert f"task:             {name}\n" in out
    assert said in out
    assert "expected changes: " in out


def test_show_json(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """With --json it is one object."""
    assert main(["tasks", "show", "integrity/ambiguous-ticket", "--json"]) == 0

    assert orjson.loads(capsysbinary.readouterr().out)["expected_refusal"] is True
