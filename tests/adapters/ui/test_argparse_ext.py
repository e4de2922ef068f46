"""Command lines whose errors are one line."""

import pytest

from cab.adapters.ui.argparse_ext import OneLineParser


@pytest.fixture
def parser() -> OneLineParser:
    parser = OneLineParser(prog="cab", allow_abbrev=False)
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    install = actions.add_parser("install", allow_abbrev=False)
    install.add_argument("--model")
    install.add_argument("--timeout-s", type=float)
    actions.add_parser("list")
    return parser


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["install", "--modle", "x"], "unknown argument '--modle'; did you mean --model?"),
        (["install", "--modle=x"], "unknown argument '--modle=x'; did you mean --model?"),
        (["install", "--zzz"], "unknown argument '--zzz'; see cab install --help"),
        (["install", "x"], "unknown argument 'x'; see"),
        (["instal"], "'instal' is no choice; did you mean 'install'?"),
        (["zzz"], "'zzz' is no choice; see"),
        (["install", "--timeout-s", "soon"], "invalid float value: 'soon'"),
        (["install", "--model"], "expected one argument"),
        ([], "the following arguments are required: ACTION"),
    ],
)
def test_one_line(
    parser: OneLineParser, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """A wrong command line is answered with one line, and exit code 2."""
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(arguments)

    out, err = capsys.readouterr()
    assert caught.value.code == 2
    assert said in err
    assert (out, err.count("\n")) == ("", 1)


def test_right(parser: OneLineParser) -> None:
    """A right one is parsed."""
    args = parser.parse_args(["install", "--model", "m"])

    assert args.model == "m"
