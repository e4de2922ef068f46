import argparse
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cab.adapters.cli import main
from cab.adapters.commands.ledger.filters import FILTERS, filter_of, records_path
from cab.scoring.errors import BadRecord
from cab.scoring.ledger.filters import Filter
from cab.scoring.timestamps import instant_us
from tests.scoring.ledgers import calls, write_ledger


def parsed(*arguments: str) -> Filter:
    parser = argparse.ArgumentParser()
    FILTERS.add_to(parser)
    return filter_of(parser.parse_args(arguments))


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-20", "2026-11-20T00:00:00Z"),
        ("2026-11-20T08:30", "2026-11-20T08:30:00Z"),
        ("2026-11-20T08:30:00.5Z", "2026-11-20T08:30:00.500000Z"),
        ("2026-11-20T08:30+02:00", "2026-11-20T06:30:00Z"),
    ],
)
def test_times_are_read_as_people_write_them(text: str, instant: str) -> None:
    """A day, a minute or an instant is taken in UTC unless it says otherwise."""
    assert (
        parsed("--since", text).since_us == parsed("--until", text).until_us == instant_us(instant)
    )


@pytest.mark.parametrize(
    ("text", "ago_s"), [("90s", 90), ("5m", 300), ("2h", 7200), ("7d", 604800)]
)
def test_times_relative_to_now(text: str, ago_s: int) -> None:
    """A count and a unit is that long before now."""
    before = datetime.now(UTC).timestamp()
    since_us = parsed("--since", text).since_us
    after = datetime.now(UTC).timestamp()
    assert since_us is not None
    assert before - 1 <= since_us / 1e6 + ago_s <= after + 1


@pytest.mark.parametrize("text", ["yesterday", "5w", "2026-13-01", ""])
def test_what_is_no_time_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A time that cannot be read is wrong use, and the message shows how to write one."""
    with pytest.raises(SystemExit):
        parsed("--since", text)
    assert "is not a time; give 2026-11-20" in capsys.readouterr().err


def test_what_is_chosen_is_handed_on() -> None:
    """Cell and model are handed on as they are; what is not asked for is left open."""
    assert parsed("--cell", "a", "--model", "m") == Filter("a", None, "m", None, None)
    assert parsed("--prefix", "a/b/") == Filter(None, "a/b/")


def test_a_path_is_a_ledger_a_bundle_or_a_file(tmp_path: Path) -> None:
    """A bundle means its calls; a folder that is not a ledger is an error."""
    [file] = write_ledger(tmp_path / "ledger", calls(1))
    assert records_path(tmp_path / "ledger") == tmp_path / "ledger"
    assert records_path(file) == file
    (tmp_path / "calls.jsonl").touch()
    assert records_path(tmp_path) == tmp_path / "calls.jsonl"
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadRecord, match="empty: is not a ledger"):
        records_path(tmp_path / "empty")


def test_ledgers_inside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder of several ledgers, as `cab meter` writes for several providers, is an error that names them."""
    folder = tmp_path / "both"
    folder.mkdir()
    for name in ("openai", "anthropic"):
        write_ledger(folder / name, calls(1))
    for command in ("verify", "calls"):
        assert main(["ledger", command, str(folder)]) != 0
        said = "".join(capsys.readouterr())
        assert (
            f"it holds ledgers: give one of {folder / 'anthropic'}, {folder / 'openai'}\n" in said
        )
    assert main(["ledger", "verify", str(folder / "openai")]) == 0
