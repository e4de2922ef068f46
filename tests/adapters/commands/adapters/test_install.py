"""`cab adapters install`."""

from pathlib import Path

import pytest

from cab.adapters.agents.registry import ADAPTERS
from cab.adapters.cli import main
from tests.adapters.tiny import serve, write_wheel

TINY = "tests.adapters.tiny:Tiny"


def test_built_in(capsys: pytest.CaptureFixture[str]) -> None:
    """An agent that comes with the package needs no install."""
    assert main(["adapters", "install", "scripted"]) == 0
    assert capsys.readouterr().out == "scripted 1 comes with this package\n"


def test_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It says which version it installed, and where; the second time, that it is there."""
    write_wheel(serve(tmp_path, monkeypatch))

    codes = [main(["adapters", "install", TINY]) for _ in range(2)]

    executable = tmp_path / "data" / "cab" / "agents" / "tiny-1.2.3" / "bin" / "tiny"
    assert codes == [0, 0]
    assert capsys.readouterr() == (
        f"tiny 1.2.3 installed: {executable}\ntiny 1.2.3 is installed already: {executable}\n",
        "",
    )


def test_one_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An index that does not have one is one line, exit code 2; the next one is installed."""
    write_wheel(serve(tmp_path, monkeypatch))

    assert main(["adapters", "install", "aider", TINY]) == 2

    out, err = capsys.readouterr()
    assert err.startswith("cab: aider was not installed: ")
    assert err.count("\n") == 1
    assert out.startswith("tiny 1.2.3 installed")


@pytest.mark.packaging
def test_all(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With --all each agent is tried, and each that cannot be installed has its line."""
    serve(tmp_path, monkeypatch)
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:1")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm-cache"))
    monkeypatch.setenv("npm_config_fetch_retries", "0")

    assert main(["adapters", "install", "--all"]) == 2

    out, err = capsys.readouterr()
    failed = [line.removeprefix("cab: ").split()[0] for line in err.strip().split("\n")]
    assert failed == sorted(set(ADAPTERS) - {"scripted"})
    assert out == "scripted 1 comes with this package\n"


@pytest.mark.parametrize("words", [[], ["--all", "aider"]])
def test_none_or_both(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Either names or --all, not none and not both."""
    assert main(["adapters", "install", *words]) == 2
    assert "name the agents to install, or give --all" in capsys.readouterr().err


def test_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """For an agent that cannot be had the reason is given."""
    assert main(["adapters", "install", "crush"]) == 2
    assert "no agent 'crush' (its npm package" in capsys.readouterr().err
