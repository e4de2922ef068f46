"""Options that several commands share."""

import argparse

import pytest

from cab.adapters.cli import main, make_parser
from cab.adapters.ui.options import by, duration_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90m", 5400), ("24h", 86_400), ("7d", 604_800), ("5s", 5), ("0h", 0)],
)
def test_durations(text: str, seconds: int) -> None:
    """A duration is a number and a unit."""
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "h", "5w", "-5h", "1.5h", "20261120"])
def test_what_is_not_a_duration(text: str) -> None:
    """Anything else is not one: a date has digits only."""
    assert duration_s(text) is None


def test_agent_is_tui() -> None:
    """--agent is another name of --tui in every command that has it, and agent another name in --by."""
    for parser in make_parser(None).with_subparsers():
        for action in parser.actions:
            names = {"--tui", "--agent"} & set(action.option_strings)
            assert len(names) in {0, 2}, parser.prog
            if "--by" in action.option_strings:
                assert action.choices is not None
                assert {"tui", "agent"} <= set(action.choices), parser.prog
    words = ["run-cell", "--agent", "aider", "--task", "f/t"]
    assert make_parser(words).parse_args(words).tui == "aider"

    single = argparse.ArgumentParser()
    by(("tui", "model"), "groups").add_to(single)
    assert single.parse_args(["--by", "agent"]).by == "tui"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["score", "x", "--by", "tuy"], "'tuy' is not one of: sweep, tui, model, "),
        (["compare", "a", "b", "--by", "agnt"], "tui, model, sweep, agent; did you mean 'agent'?"),
        (["compare", "a", "b", "--metric", "tokens"], "'tokens' is not one of: pass_rate, "),
        (["export", "inspct", "runs", "-o", "x"], "did you mean 'inspect'? See cab export --help"),
        (
            ["run-cell", "--tui", "a", "--task", "t", "--sandbox", "dockr"],
            "local, docker; did you mean 'docker'?",
        ),
        (
            ["run-cell", "--tui", "a", "--task", "t", "--agnet", "b"],
            "unknown argument '--agnet'; did you mean --agent?",
        ),
    ],
)
def test_a_wrong_word_is_answered_with_the_right_ones(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong choice lists the choices and the nearest one, an unknown option the nearest one."""
    with pytest.raises(SystemExit) as caught:
        main(words)

    [line] = capsys.readouterr().err.splitlines()
    assert caught.value.code == 2
    assert said in line
