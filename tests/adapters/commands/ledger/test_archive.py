"""`cab ledger archive` and `restore`, and what the other commands say of an archived ledger."""

from pathlib import Path

import orjson
import pytest

from cab.adapters.cli import main
from cab.proxy.ledger.recovery import recover
from tests.proxy.ledger.snapshot.ledgers import AT, put, written


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A ledger of two chains with several segments, the closed ones compressed."""
    folder = put(tmp_path / "cab-ledger", written(tmp_path / "written", 3), packed=True)
    recover(folder, AT)
    return folder


def test_archived_calls_are_named_and_never_zero(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lists and sums exit with 1 and name checkpoint and folder; sums of such cells are null; restore ends it."""
    assert main(["ledger", "calls", str(ledger), "--by-cell", "--json"]) == 0
    whole = capsys.readouterr().out
    to = ledger.parent / "old"
    assert main(["ledger", "archive", str(ledger), "--to", str(to), "--json"]) == 0
    done = orjson.loads(capsys.readouterr().out)
    assert done["segments"] >= 3
    assert done["checkpoint"]["cells"] >= 2
    for options in ([], ["--by-cell"], ["--cell", "s/a"], ["--prefix", "s/"]):
        assert main(["ledger", "calls", str(ledger), *options, "--json"]) == 1
        printed = capsys.readouterr()
        assert f"in checkpoint 1 ({to})" in printed.err
    assert main(["ledger", "calls", str(ledger), "--by-cell", "--json"]) == 1
    for line in capsys.readouterr().out.splitlines():
        row = orjson.loads(line)
        if row["cell_id"] in {"s/a", "s/b", "s/c"}:
            assert (
                row["calls"] is row["total_tokens"] is row["total_interval"]["upper_total"] is None
            )
            assert row["known_total_tokens"] is not None
    assert main(["ledger", "calls", str(ledger), "--by-cell"]) == 1
    assert main(["ledger", "restore", str(ledger)]) == 0
    capsys.readouterr()
    assert main(["ledger", "calls", str(ledger), "--by-cell", "--json"]) == 0
    assert capsys.readouterr().out == whole


def test_what_is_wrong_names_the_fix(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No archive, a folder that cannot be written, an age without its unit: one line each."""
    assert main(["ledger", "restore", str(ledger)]) == 2
    assert "no archive checkpoint" in capsys.readouterr().err
    assert main(["ledger", "archive", str(ledger), "--to", "/proc/none"]) == 2
    assert "give another folder" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["ledger", "archive", str(ledger), "--to", "x", "--older-than", "7"])
    assert "give 90m, 24h or 30d" in capsys.readouterr().err
    assert main(["ledger", "archive", str(ledger), "--to", "x", "--older-than", "30d"]) == 0
    assert "nothing to archive" in capsys.readouterr().out
