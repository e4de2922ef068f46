"""A sink that another package brings is found by the scheme of its URLs; the example of docs/postgres.md works."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.shipped import append, calls, contents
from tests.tools.wheel import install_package

_CAB = "import sys; from cab.adapters.cli import main; sys.exit(main())"
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "sqlite_sink.py"


@pytest.mark.slow
async def test_the_example_sink_ships_a_ledger(tmp_path: Path) -> None:
    """Installed as a package, it takes every line once; a broken one is one line that says why."""
    modules = {"sqlite_sink": EXAMPLE.read_text()}
    points = {"sqlite": "sqlite_sink:SqliteSink", "broken": "nowhere_at_all:Sink"}
    install_package(tmp_path / "site", "sqlite-sink", modules, {"cab.sinks": points})
    ledger, file = tmp_path / "ledger", tmp_path / "lines.db"

    def ship(scheme: str) -> subprocess.CompletedProcess[str]:
        words = ("ledger", "ship", str(ledger), "--to", f"{scheme}://{file}", "--once")
        return subprocess.run(
            [sys.executable, "-P", "-c", _CAB, *words],
            env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
            capture_output=True,
            text=True,
            check=False,
        )

    await append(ledger, calls(0, 9))
    assert (ship("sqlite").returncode, ship("sqlite").stdout) == (0, "0 lines were sent\n")
    await append(ledger, calls(20, 25))
    assert ship("sqlite").returncode == 0
    with sqlite3.connect(file) as connection:
        found = connection.execute("select raw from lines order by segment, line, part").fetchall()
    connection.close()
    assert b"".join(raw for (raw,) in found) == b"".join(contents(ledger).values())
    done = ship("broken")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "the sink broken of sqlite-sink 1.0 cannot be loaded" in done.stderr
    done = ship("kafka")
    assert "give a URL that begins with postgresql://, broken://, sqlite://" in done.stderr
