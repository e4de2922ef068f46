"""Command lines whose errors are one line."""

import pytest

from cab.proxy.cli.parser import CommandLineParser


@pytest.fixture
def parser() -> CommandLineParser:
    parser = CommandLineParser(prog="cab")
    parser.add_version()
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    install = actions.add_parser("install")
    install.add_argument("--model", "--agent-model")
    install.add_argument("--only", "--just", action="append")
    install.add_argument("-q", "--quiet", action="store_true")
    install.add_argument("--timeout-s", type=float, default=2.5, help="limit")
    install.add_argument("--by", choices=["tui", "model", "sweep"])
    actions.add_parser("list")
    return parser


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["install", "--modle", "x"],
            "cab install: unknown argument '--modle'; did you mean --model? See cab install --help",
        ),
        (
            ["install", "--modle=secret"],
            "cab install: unknown argument '--modle'; did you mean --model? See cab install --help",
        ),
        (["install", "--zzz"], "cab install: unknown argument '--zzz'; see cab install --help"),
        (["install", "--mod", "x"], "cab install: unknown argument '--mod'; did you mean --model?"),
        (["install", "x"], "cab install: unknown argument 'x'; see"),
        (["instal"], "'instal' is not one of: install, list; did you mean 'install'? See cab"),
        (["zzz"], "cab: argument ACTION: 'zzz' is not one of: install, list; see cab --help"),
        (
            ["install", "--by", "modle"],
            "argument --by: 'modle' is not one of: tui, model, sweep; did you mean 'model'? See",
        ),
        (["install", "--timeout-s", "soon"], "invalid float value: 'soon'"),
        (["install", "--model"], "expected one argument"),
        (
            ["install", "--agent-model", "a", "--model=b"],
            "cab install: --agent-model and --model are the same option; give one of them; see cab",
        ),
        ([], "the following arguments are required: ACTION"),
    ],
)
def test_one_line(
    parser: CommandLineParser, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    """A wrong command line is answered with one line, and exit code 2."""
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(arguments)

    out, err = capsys.readouterr()
    assert caught.value.code == 2
    assert line in err
    assert (out, err.count("\n")) == ("", 1)
    assert "secret" not in err


def test_right(parser: CommandLineParser) -> None:
    """A right one is parsed."""
    args = parser.parse_args(["install", "--model", "m"])

    assert args.model == "m"


def test_help_shows_defaults(parser: CommandLineParser, capsys: pytest.CaptureFixture[str]) -> None:
    """The help of an option ends with its default, if it has one."""
    with pytest.raises(SystemExit):
        parser.parse_args(["install", "--help"])

    text = capsys.readouterr().out
    assert "limit (default: 2.5)" in text
    assert text.count("default") == 1


def test_version(parser: CommandLineParser, capsys: pytest.CaptureFixture[str]) -> None:
    """--version prints the program and its version."""
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(["--version"])

    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("cab 0.")
