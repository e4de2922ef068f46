"""`cab adapters list`."""

import orjson
import pytest

from cab.adapters.agents.registry import ADAPTERS, LEFT_OUT
from cab.adapters.cli import main


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    """The table names each agent, its version, its dialect and its state."""
    assert main(["adapters", "list"]) == 0

    lines = capsys.readouterr().out.split("\n")
    (aider,) = [line for line in lines if line.startswith("aider ")]
    (scripted,) = [line for line in lines if line.startswith("scripted ")]
    assert aider.split()[:5] == ["aider", "0.86.2", "not", "installed", "chat.completions"]
    assert aider.endswith("the calls that sum up a long conversation")
    assert "built in" in scripted
    assert {line.split()[0] for line in lines if line.strip()} >= set(ADAPTERS)


def test_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """Agents that cannot be had are named below the others, each with a line that says why."""
    assert main(["adapters", "list"]) == 0

    _, _, below = capsys.readouterr().out.partition("Left out:\n")
    assert below.splitlines() == [f"- {name}: {reason}" for name, reason in LEFT_OUT.items()]


def test_json(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """With --json each agent is one object; a version that is not there is null."""
    assert main(["adapters", "list", "--json"]) == 0

    rows = [orjson.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    states = {row["name"]: (row["state"], row.get("installed")) for row in rows}
    assert states == {
        **dict.fromkeys(ADAPTERS, ("not installed", None)),
        "scripted": ("built in", "1"),
        **dict.fromkeys(LEFT_OUT, ("left out", None)),
    }
    assert {row["reason"] for row in rows if row["state"] == "left out"} == {*LEFT_OUT.values()}
