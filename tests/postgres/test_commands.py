"""`cab ledger ship`, and the commands that read a database in the place of a ledger's folder."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.adapters.light_task import light_task
from tests.postgres.test_sink import put
from tests.tools.commands import run_command
from tests.tools.postgres import PASSWORD
from tests.tools.shipped import Database, append, assert_same, call, calls, chained

pytestmark = pytest.mark.postgres


def cab(*words: object, code: int = 0, password: str | None = PASSWORD) -> tuple[str, str]:
    """Run a command; return what it printed, and its errors."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CAB_", "PG"))}
    env = kept | ({"PGPASSWORD": password} if password else {})
    done = run_command("cab", *map(str, words), env=env)
    assert done.returncode == code, done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    return done.stdout, done.stderr


async def test_commands_print_the_same_of_a_database(tmp_path: Path, database: Database) -> None:
    """calls and verify give the same output, in each form, for a folder and for its copy."""
    ledger = tmp_path / "ledger"
    await append(ledger, [*calls(0, 12), *call(12, usage_source="none")])
    assert cab("ledger", "ship", ledger, "--to", database.url, "--once")[0].endswith(
        "lines were sent\n"
    )
    assert_same(ledger, database)
    for words in (
        ("calls", "--limit", "5"),
        ("calls", "--json"),
        ("calls", "--by-cell"),
        ("calls", "--by-cell", "--json", "--prefix", "s/aider/"),
    ):
        command, *options = words
        assert cab("ledger", command, database.url, *options) == cab(
            "ledger", command, ledger, *options
        )
    shown = database.url.replace("shipper@", "")
    in_folder, in_table = (cab("ledger", "verify", where)[0] for where in (ledger, database.url))
    assert in_table == in_folder.replace(str(ledger), shown)
    said = json.loads(cab("ledger", "verify", database.url, "--json")[0])
    assert (said["path"], said["holds"]) == (shown, True)
    head = said["heads"][0]["hash"]
    cab("ledger", "verify", database.url, "--head", head)
    cab("ledger", "verify", database.url, "--head", "0" * 63 + "1", code=1)


def test_damage_is_named_as_in_the_folder(tmp_path: Path, database: Database) -> None:
    """What is damaged in the table is named by the database, the segment and the line."""
    ledger, (lines, _) = tmp_path / "ledger", chained(calls(0, 3))
    put(ledger, "w0-000001.jsonl", *lines[:3], b"garbage\n", *lines[3:])
    cab("ledger", "ship", ledger, "--to", database.url, "--once")
    shown = database.url.replace("shipper@", "")
    for words in (("calls",), ("calls", "--cell", "none")):
        command, *options = words
        out, errors = cab("ledger", command, ledger, *options, code=1)
        assert cab("ledger", command, database.url, *options, code=1) == (
            out,
            errors.replace(str(ledger), shown),
        )
    database.do(
        "update cab.lines set raw = replace(encode(raw, 'escape'), '\"seq\":1', '\"seq\":9')::bytea where line = 2"
    )
    out, _ = cab("ledger", "verify", database.url, code=1)
    assert "w0-000001.jsonl:2: edited: its bytes have the hash" in out


def test_mistakes_are_one_line(tmp_path: Path, database: Database) -> None:
    """Each mistake of a user, and each refusal of the database, is one line with the fix."""
    ledger = put(tmp_path / "ledger", "w0-000001.jsonl", *chained(calls(0, 1))[0]).parent
    url, to = database.url, "--to"
    for words, text in (
        (("ship", ledger, to, "postgresql://u:hunter2@h/d"), "holds a password"),
        (("calls", "postgresql://u:hunter2@h/d"), "holds a password"),
        (("ship", ledger, to, "postgresql://[::1]:5432,h:99999/d"), "port 99999; give one from 1"),
        (("calls", "postgresql:///d?host=h&port=5432,0"), "port 5432,0; give one from 1"),
        (("ship", ledger, to, "mysql://h/d"), "mysql:// is not a sink that is known"),
        (("ship", ledger, to, f"{url}?sslmode=banana", "--once"), "invalid sslmode"),
        (("ship", ledger, to, f"{url}?colour=red", "--once"), "the URL is not valid"),
        (("ship", ledger, to, url, "--again"), "give --once with it"),
        (("ship", tmp_path / "none", to, url), "is not a folder"),
        (("ship", tmp_path, to, url, "--once"), "holds no segment"),
        (("calls", url), "has no ledgers; ship one"),
        (("tail", "postgresql://u:hunter2@h/d"), "this command does not read a database"),
        (("export", url, "--parquet", tmp_path / "p"), "does not read a database"),
        (("archive", url, to, tmp_path), "does not read a database"),
    ):
        _, errors = cab("ledger", *words, code=2)
        assert text in errors
        assert errors.count("\n") == 1
        assert "hunter2" not in errors
    assert (
        "cannot be reached"
        in cab("ledger", "ship", ledger, to, url, "--once", code=2, password="x")[1]
    )


def _site(*where: object, into: Path) -> dict[str, bytes]:
    cab("report", *where, "-o", into)
    return {
        str(f.relative_to(into)): f.read_bytes()
        for f in sorted(into.rglob("*"))
        if f.is_file() and not f.name.startswith(".")
    }


def test_scores_and_reports_are_those_of_the_folder(tmp_path: Path, database: Database) -> None:
    """A score and a site made of the database alone are those made of the folder, byte for byte."""
    runs = tmp_path / "runs"
    words = ("--tui", "scripted", "--upstream", "demo", "--task", light_task())
    cab("run-cell", *words, "--runs", runs)
    (cell,) = [file.parent for file in runs.rglob("cell.json")]
    half = runs / "local" / "scripted" / "demo" / "polyglot" / "half"
    half.mkdir()
    for name in ("cell.json", "INCOMPLETE"):
        (half / name).write_text("{}")
    send = ("ledger", "ship", cell / "ledger", "--to", database.url, "--once", "--runs", runs)
    assert "1 cell was sent, 0 were there already" in cab(*send)[1]
    assert "cells were sent" not in cab(*send)[1]
    shutil.rmtree(half)
    shown = database.url.replace("shipper@", "")
    for options in (("--json",), ("--csv",), ("--by", "tui")):
        in_folder = cab("score", runs, *options)
        in_table = cab("score", database.url, *options)
        assert in_table == (in_folder[0].replace(str(runs), shown), in_folder[1])
    sites = [
        _site(where, into=tmp_path / name) for name, where in (("a", runs), ("b", database.url))
    ]
    assert sites[0] == sites[1]
    assert len(sites[0]) > 3
    assert "cannot change a database" in cab("score", database.url, "--write", code=2)[1]
