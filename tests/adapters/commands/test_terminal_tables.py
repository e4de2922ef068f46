"""The tables of the commands on real terminals of several widths, and in a pipe."""

import fcntl
import os
import pty
import struct
import termios
import threading
from pathlib import Path

import pytest
from rich.cells import cell_len

from cab.adapters.cli import main
from cab.adapters.sweeps import report as sweep_report
from cab.adapters.ui.layout import layout
from tests.scoring.ledgers import calls, write_ledger
from tests.scoring.results import stored_cell

WIDTHS = (60, 80, 120, 200)
LONG = "a-sweep/{}/vendor%2Fa-large-model/polyglot/python-error-handling-{}"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells of two agents, and a ledger in which a model has written what turns letters around."""
    folder = tmp_path_factory.mktemp("tables")
    for agent in ("aider", "codex"):
        for task in range(2):
            name = LONG.format(agent, task)
            stored_cell(folder / "runs", name, passed=agent == "codex", own=108)
    lines = calls(2, LONG.format("aider", 0), model_served="日本\u202e\u3164" * 5)
    (folder / "ledger").mkdir()
    write_ledger(folder / "ledger", lines)
    return folder


def on_terminal(arguments: list[str], width: int, patch: pytest.MonkeyPatch) -> list[str]:
    """Return the lines that a command writes to a terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    seen = bytearray()

    def read() -> None:
        try:
            while data := os.read(ours, 65536):
                seen.extend(data)
        except OSError:  # the other end was closed
            return

    reader = threading.Thread(target=read)
    reader.start()
    with patch.context() as patched, os.fdopen(theirs, "w", encoding="utf-8") as stream:
        patched.setattr("sys.stdout", stream)
        patched.setattr("sys.__stdout__", stream)
        patched.delenv("COLUMNS", raising=False)
        assert main(arguments) == 0
    reader.join()
    os.close(ours)
    return seen.decode().replace("\r\n", "\n").splitlines()


@pytest.mark.parametrize(
    ("words", "row"),
    [
        ("score runs --by tui --k 2", "aider"),
        ("score runs", "#/python-error-handling-0"),
        ("compare aider codex --by tui --metric pass_rate --metric cost_usd", "aider"),
        ("reconcile runs", "codex"),
        ("reconcile runs --cells", "#/python-error-handling-1"),
        ("ledger calls ledger", "#/python-error-handling-0"),
        ("ledger calls ledger --by-cell", "#/python-error-handling-0"),
        ("ledger tail ledger", "#/python-error-handling-0"),
        ("adapters list", "qwen-code"),
        ("tasks list", "integrity/secret-file"),
    ],
)
def test_a_row_is_one_line_at_every_width(
    words: str,
    row: str,
    work: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No line is longer than the terminal, and what is left out is named with the way to see it."""
    monkeypatch.chdir(work)
    assert main(words.split()) == 0
    piped = capsys.readouterr().out
    rows_piped = [line for line in piped.splitlines() if _names(line, row)]
    for width in WIDTHS:
        lines = on_terminal(words.split(), width, monkeypatch)
        assert max(map(cell_len, lines)) <= width
        rows = [line for line in lines if _names(line, row)]
        assert len(rows) >= len(rows_piped) > 0
        assert not any(mark in line for line in lines for mark in "\u202e\u3164")
        if "tail" not in words and not _has_all_columns(lines, piped):
            note = " ".join(lines)
            assert f"Not shown in {width} columns: " in note
            assert "A wider terminal or --json shows all." in note


def _names(line: str, row: str) -> bool:
    """Return whether a line is of a row; a path may have lost its beginning."""
    return row.removeprefix("#/")[-12:] in line if row.startswith("#") else line.startswith(row)


def _has_all_columns(lines: list[str], piped: str) -> bool:
    rule = next(line for line in lines if line.startswith("─"))
    heads = [part for part in piped.splitlines()[0].split("  ") if part]
    return len(rule.split()) == len(heads)


@pytest.mark.parametrize("width", WIDTHS)
def test_comparisons_stand_side_by_side(
    width: int, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both sides and their difference are on each line, intervals and p too where there is room."""
    monkeypatch.chdir(work)
    lines = on_terminal(["compare", "aider", "codex", "--by", "tui"], width, monkeypatch)
    row = next(line for line in lines if line.startswith("aider"))
    assert {"0.0", "100.0", "-100.0"} <= set(row.split())
    head = " ".join(lines[: lines.index(row)])
    assert "interval" in head or width < 120


@pytest.mark.parametrize("width", WIDTHS)
def test_the_end_of_a_sweep_fits(width: int) -> None:
    """The table of a sweep shows agent, model, pass rate and tokens at each width."""
    row = [
        *("claude-code", "vendor/a-large-model-of-2026", "120", "87 (61 to 98)"),
        *("1,234,567 (999,999 to 2,345,678)", "987,654", "41.5", "0.0025", "812.33", "2"),
        "-12.34 (3 of 120 equal)",
    ]
    found = layout(sweep_report._COLUMNS, [row], width)
    lines = [*found.head(), found.line(row)]
    assert max(map(cell_len, lines)) <= width
    assert "87 (61 to 98)" in lines[-1]
