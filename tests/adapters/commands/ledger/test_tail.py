import signal
from pathlib import Path
from subprocess import PIPE
from typing import Any

import orjson
import pytest

from cab.adapters.cli import main
from tests.scoring.builders import end_fields, start_fields
from tests.scoring.ledgers import calls, chained, hash_of, write_ledger
from tests.tools.commands import start_command


def at(second: int, **changes: Any) -> dict[str, Any]:
    return end_fields(f"c{second}", ended_at=f"2026-11-20T12:00:{second:02d}.000000Z", **changes)


def test_the_last_records_of_all_workers(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """The last records of all chains come in the order of their times; -n says how many."""
    write_ledger(tmp_path, [at(1), at(4), at(5)])
    write_ledger(
        tmp_path, [at(2), at(3), {"kind": "proxy_stop", "at": "2026-11-20T12:00:06Z"}], worker=1
    )
    assert main(["ledger", "tail", str(tmp_path), "-n", "4", "--json"]) == 0
    records = [orjson.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert [record.get("call_id", record["kind"]) for record in records] == [
        *("c3", "c4", "c5", "proxy_stop"),
    ]


def test_people_see_calls_as_they_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --json a START is not a line; filters hold, and none is shown of a count of 0."""
    write_ledger(tmp_path, [*calls(2, "s/a/m/f/t"), *calls(1, "s/b/m/f/t"), {"kind": "proxy_stop"}])
    assert main(["ledger", "tail", str(tmp_path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5
    assert main(["ledger", "tail", str(tmp_path), "--prefix", "s/b/"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["ledger", "tail", str(tmp_path), "--cell", "s/b/"]) == 1
    assert "no call of cell s/b/: that is unknown" in capsys.readouterr().err
    assert main(["ledger", "tail", str(tmp_path), "-n", "0"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize(
    "line",
    [b"garbage", b'{"kind":"end","cell_id":[1]}', b'{"kind":"end","started_at":"noon"}'],
)
def test_a_damaged_line_is_passed_over(
    tmp_path: Path, line: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line that cannot be read is reported, and all others are shown."""
    [segment] = write_ledger(tmp_path, [at(1), at(2)])
    with segment.open("ab") as handle:
        handle.write(line + b"\n")
    assert main(["ledger", "tail", str(tmp_path), "--since", "2026-01-01", "--json"]) == 0
    printed = capsys.readouterr()
    assert printed.out.count("\n") == 2
    assert printed.err.startswith("cab: a damaged line is passed over: ")
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none"], "none is not a folder"),
        (["."], "is not a ledger"),
        ([".", "-n", "-1"], "-n -1 is below 0"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is not a ledger's folder is one line and exit code 2."""
    assert main(["ledger", "tail", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_following_goes_on_until_ctrl_c(tmp_path: Path) -> None:
    """With -f records are printed as they come, across segments, and Ctrl-C is a quiet end."""
    first, second = chained([start_fields("a"), end_fields("a")])
    [third] = chained([end_fields("b")], hash_of(second))
    words = ("ledger", "tail", tmp_path, "-f", "--json")
    with start_command("cab", *words, stdout=PIPE, stderr=PIPE) as process:
        assert process.stdout is not None
        (tmp_path / "w0-000001.jsonl").write_bytes(first)
        assert process.stdout.readline() == first.decode()
        with (tmp_path / "w0-000001.jsonl").open("ab") as handle:
            handle.write(second)
        assert process.stdout.readline() == second.decode()
        (tmp_path / "w0-000002.jsonl").write_bytes(third)
        assert process.stdout.readline() == third.decode()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")
