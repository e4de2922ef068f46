"""`cab adapters`: its help."""

import pytest

from cab.adapters.cli import main


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ((), "list install show"),
        (("list",), "--json"),
        (("install",), "--all npm uv folder"),
        (("show",), "--endpoint --model --paste CAB_KEY AGENT_HOME cab-proxy"),
    ],
)
def test_help(action: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each action's help names what it needs."""
    with pytest.raises(SystemExit, match="0"):
        main(["adapters", *action, "--help"])

    out = capsys.readouterr().out
    assert all(word in out for word in words.split())
