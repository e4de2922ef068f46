"""Runs `cab meter` as a process of its own, as its users do."""

import os
from pathlib import Path
from typing import NamedTuple

from cab.adapters.meter.clients import APIS
from cab.scoring.cells.metered_command import MeteredCommand
from tests.tools.commands import run_command

LIMIT_S = 120


class Metered(NamedTuple):
    """How `cab meter` ended."""

    code: int
    out: str
    err: str
    result: MeteredCommand | None


def clean_environment(**more: str) -> dict[str, str]:
    """Return an environment without keys and addresses of whoever runs the tests."""
    ours = {name for api in APIS for name in (*api.urls, *api.keys)}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ours and not name.startswith("CAB_")
    }
    return {**kept, **more}


def meter(folder: Path, *words: str, given: str = "", **environment: str) -> Metered:
    """Run `cab meter --json FILE` with more words, to its end.

    Args:
        folder: Where it runs.
        *words: Options and the command.
        given: Its input.
        **environment: Variables that it has besides.
    """
    file = folder / "spent.json"
    file.unlink(missing_ok=True)
    env = clean_environment(**environment)
    words = ("meter", "--json", str(file), *words)
    done = run_command("cab", *words, cwd=folder, env=env, given=given, timeout_s=LIMIT_S)
    result = MeteredCommand.model_validate_json(file.read_text()) if file.exists() else None
    return Metered(done.returncode, done.stdout, done.stderr, result)
