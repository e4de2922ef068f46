"""`cab adapters`."""

import sys
from pathlib import Path

import orjson
import pytest

from cab.adapters.cli import main
from tests.adapters.tiny import serve, write_wheel


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    """The table names each agent, its version, its dialect and its state."""
    assert main(["adapters", "list"]) == 0

    out = capsys.readouterr().out
    (aider,) = [line for line in out.split("\n") if " aider " in line]
    (scripted,) = [line for line in out.split("\n") if " scripted " in line]
    assert "0.86.2" in aider
    assert "chat.completions" in aider
    assert "not installed" in aider
    assert "built in" in scripted


def test_list_json(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """With --json each agent is one object; a version that is not there is null."""
    assert main(["adapters", "list", "--json"]) == 0

    rows = [orjson.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    states = {row["name"]: (row["state"], row["installed"]) for row in rows}
    assert states == {"aider": ("not installed", None), "scripted": ("built in", "1")}


def test_install_built_in(capsys: pytest.CaptureFixture[str]) -> None:
    """An agent that comes with the package needs no install."""
    assert main(["adapters", "install", "scripted"]) == 0
    assert capsys.readouterr().out == "scripted 1 comes with this package\n"


def test_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It says which version it installed, and where; the second time, that it is there."""
    write_wheel(serve(tmp_path, monkeypatch))

    codes = [main(["adapters", "install", "tests.adapters.tiny:Tiny"]) for _ in range(2)]

    executable = tmp_path / "data" / "cab" / "agents" / "tiny-1.2.3" / "bin" / "tiny"
    assert codes == [0, 0]
    assert capsys.readouterr() == (
        f"tiny 1.2.3 installed: {executable}\ntiny 1.2.3 is installed already: {executable}\n",
        "",
    )


def test_install_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An index that does not have the agent is one line, exit code 2."""
    serve(tmp_path, monkeypatch)

    assert main(["adapters", "install", "aider"]) == 2

    out, err = capsys.readouterr()
    assert err.startswith("cab: aider was not installed: ")
    assert (out, err.count("\n")) == ("", 1)


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    """What is shown can be pasted into a shell; the key stays a variable."""
    assert main(["adapters", "show", "aider", "--endpoint", "http://h/v1", "--model", "a/b"]) == 0

    lines = capsys.readouterr().out.rstrip().split("\n")
    assert lines[0] == "aider 0.86.2: not installed"
    assert "leaves in the workspace: .aider*" in lines[1]
    assert 'export OPENAI_API_KEY="$CAB_KEY"' in lines
    assert lines[-1].startswith("aider --yes-always --no-stream ")
    assert "--openai-api-base http://h/v1 --model openai/a/b" in lines[-1]


def test_show_placeholders(capsys: pytest.CaptureFixture[str]) -> None:
    """Without an endpoint and a model, variables stand for them."""
    assert main(["adapters", "show", "scripted"]) == 0

    out = capsys.readouterr().out
    assert 'export OPENAI_BASE_URL="$YOUR_ENDPOINT/v1"' in out
    assert "leaves in the workspace: nothing" in out
    assert out.rstrip().split("\n")[-1].startswith(sys.executable)


def test_show_json(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """With --json it is one object."""
    assert main(["adapters", "show", "aider", "--json"]) == 0

    row = orjson.loads(capsysbinary.readouterr().out)
    assert row["wiring"]["env"]["OPENAI_API_KEY"] == "$CAB_KEY"
    assert row["scratch"] == [".aider*", ".aider*/**"]
