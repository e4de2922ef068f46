"""The page about the statistics comes from real runs, and names every statistic."""

import re
from pathlib import Path

import pytest

import cab.scoring.stats
from cab.adapters.cli import main
from tests.adapters.light_task import light_task

PAGE = (Path(__file__).parents[3] / "docs" / "statistics.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
TASKS = {
    "polyglot/python-error-handling": light_task(),
    "integrity/ambiguous-ticket": "integrity/ambiguous-ticket",
}


def without_sizes(text: str) -> list[str]:
    """Return the lines without counts of tokens: they belong to the demo's texts."""
    return [re.sub(r"\d+,\d{3}", "N", line) for line in text.splitlines() if line]


@pytest.mark.slow
def test_the_examples_are_what_the_commands_print(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real runs as the page names them give its tables and sentence; its Python runs on them."""
    monkeypatch.chdir(tmp_path)
    for name, task in TASKS.items():
        assert f"`{name}`" in PAGE
        for model in ("demo", "other"):
            for run in ("1", "2"):
                cell = ["--model", model, "--task", task, "--run", run]
                assert main(["run-cell", "--tui", "scripted", "--upstream", "demo", *cell]) == 0
    capsys.readouterr()
    [shown] = [text for language, text in BLOCKS if not language]
    printed: list[str] = []
    for line in shown.splitlines():
        if line.startswith("$ cab "):
            printed.append(line)
            assert main(line.removeprefix("$ cab ").split()) == 0
            printed.append(capsys.readouterr().out)
    assert without_sizes("\n".join(printed)) == without_sizes(shown)
    code, of_rows = [text for language, text in BLOCKS if language == "python"]
    exec(compile(code, "statistics.md", "exec"), {})
    assert capsys.readouterr().out.count("'tui': 'scripted'") == 2
    exec(compile(of_rows, "statistics.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == [
        "{'tui': 'mine'} 0.5 {}",
        "{'tui': 'other'} 1.0 {'check_did_not_run': 1}",
        "-790.0",
    ]


def test_every_statistic_has_its_source() -> None:
    """Each function of the package says where it is from, what it takes and what it refuses."""
    functions = {name: f for name, f in vars(cab.scoring.stats).items() if callable(f)}
    assert len(functions) > 20
    for name, function in functions.items():
        if not isinstance(function, type):
            assert "Source:" in function.__doc__, name
            assert "Args:" in function.__doc__, name
            assert "Returns:" in function.__doc__ or "Return " in function.__doc__, name
