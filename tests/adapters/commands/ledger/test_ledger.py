import pytest

from cab.adapters.cli import main


@pytest.mark.parametrize("action", ["verify", "calls", "tail", "seal", "export"])
def test_every_action_explains_itself(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each action has a help of its own that names what it takes."""
    with pytest.raises(SystemExit) as caught:
        main(["ledger", action, "--help"])
    assert caught.value.code == 0
    assert f"usage: cab ledger {action}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "arguments are required: COMMAND"),
        (["verfy"], "did you mean 'verify'?"),
        (["export"], "one of the arguments --sqlite --parquet --lake is required"),
        (["calls", "--json", "--csv"], "not allowed with argument"),
        (["calls", "--sicne", "24h"], "did you mean --since?"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong word is exit code 2 and one line that says what was meant."""
    with pytest.raises(SystemExit) as caught:
        main(["ledger", *arguments])
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
