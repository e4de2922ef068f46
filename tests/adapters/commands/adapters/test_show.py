"""`cab adapters show`: what it prints can be pasted."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from cab.adapters.agents.base import RunContext
from cab.adapters.agents.registry import ADAPTERS, load_adapter
from cab.adapters.cli import main
from cab.adapters.install.install import install
from tests.adapters.stubagent import run_pasted, run_started, write_stub
from tests.adapters.tiny import FACTS, serve, write_wheel

KEY = "sk-only-in-the-environment"
MODEL = "vendor/model-1"
PROMPT = 'Mend it\'s "numlist.py" for $5'
GIVEN = ["--endpoint", "http://127.0.0.1:9/v1/", "--model", MODEL, "--prompt", PROMPT]
INSTALLED = sorted(name for name in ADAPTERS if load_adapter(name).facts.install is not None)


def shown(name: str, *words: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what the command prints."""
    assert main(["adapters", "show", name, *words]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", INSTALLED)
def test_pasted(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pasted into bash, it starts the agent as the runner does: arguments, variables and files."""
    adapter = load_adapter(name)
    assert adapter.facts.install is not None
    program = adapter.facts.install.executable
    write_stub(tmp_path, program)

    pasted = run_pasted(shown(name, *GIVEN, capsys=capsys), tmp_path, {"CAB_KEY": KEY})

    run = RunContext("http://127.0.0.1:9", KEY, MODEL, PROMPT, Path(pasted.home), Path(program))
    launch = adapter.launch(run)
    started = run_started(launch.argv, tmp_path, {**launch.env, "HOME": pasted.home})
    assert (pasted.argv, pasted.stdin) == (started.argv, started.stdin)
    assert {**pasted.env, **launch.env} == pasted.env
    assert {path: text.rstrip("\n") for path, text in pasted.files.items()} == {
        path: text.rstrip("\n") for path, text in launch.files.items()
    }


def test_built_in(demo_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The agent that comes with this package runs from the pasted text, against a real server."""
    text = shown("scripted", "--endpoint", demo_url, capsys=capsys)
    done = subprocess.run(
        ["bash", "-c", text],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "CAB_KEY": KEY, "CAB_MODEL": "demo"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "tokens: " in done.stdout


@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_everything_by_variable(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without an endpoint and a model the text has variables, and never a stand-in."""
    text = shown(name, "--paste", capsys=capsys)

    assert "stand-in" not in text
    assert "${CAB_KEY:?" in text
    assert "${CAB_ENDPOINT:?" in text
    assert "${CAB_MODEL:?" in text


def test_about(capsys: pytest.CaptureFixture[str]) -> None:
    """Above the text is what there is to know, as comments; --paste leaves it out."""
    text = shown("aider", *GIVEN, capsys=capsys)
    about, _, rest = text.partition("\n\n")

    assert about.split("\n") == [
        "# aider 0.86.2: not installed",
        "# calls chat.completions",
        "# leaves in the workspace: .aider*, .aider*/**",
        "# own token report: stdout, rounded, without the calls that sum up a long conversation",
        "# published image: codingagentbench/aider",
    ]
    assert rest == shown("aider", *GIVEN, "--paste", capsys=capsys)


def test_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The program is named by its path where it is installed."""
    write_wheel(serve(tmp_path, monkeypatch))
    executable = install(replace(FACTS)).executable

    text = shown("tests.adapters.tiny:Tiny", "--paste", capsys=capsys)

    assert text.split("\n")[-3] == str(executable)


def test_json(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """With --json it is one object, with the names of variables for key and place."""
    assert main(["adapters", "show", "aider", "--json"]) == 0

    row = orjson.loads(capsysbinary.readouterr().out)
    assert row["wiring"]["env"]["OPENAI_API_KEY"] == "$CAB_KEY"
    assert "$BASE_URL/v1" in row["wiring"]["argv"]
    assert row["scratch"] == [".aider*", ".aider*/**"]


def test_json_of_the_built_in(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """Our own agent is started by our own Python."""
    assert main(["adapters", "show", "scripted", "--json"]) == 0

    assert orjson.loads(capsysbinary.readouterr().out)["wiring"]["argv"][0] == sys.executable
