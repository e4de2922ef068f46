"""Commands as data: what parsers are made of them."""

import argparse
from types import SimpleNamespace

import pytest

from cab.adapters.cli import make_parser
from cab.adapters.ui.command import Command, OneOf, Option, OptionGroup, add_commands
from cab.proxy.cli.parser import CommandLineParser

NAME = Option("--name", metavar="N", help="a name")


def parser_of(words: list[str] | None) -> CommandLineParser:
    inner = SimpleNamespace(
        DESCRIPTION="Inner.",
        EPILOG="The end.",
        OPTIONS=(
            NAME(default="x"),
            OptionGroup("a title", Option("--flag", action="store_true"), description="about it"),
            OneOf(Option("--one", action="store_true"), Option("--two", action="store_true")),
        ),
        run=lambda _: 7,
    )
    group = SimpleNamespace(DESCRIPTION="Group.", COMMANDS={"inner": Command(inner, "the inner")})
    commands = {
        "group": Command(group, "the group"),
        "other": Command("tests.adapters.commands.raising", "the other"),
    }
    parser = CommandLineParser(prog="p")
    add_commands(parser, commands, words)
    return parser


def test_a_command_has_its_texts_and_options() -> None:
    """A parser that is made from a command has its description, groups, choices and run."""
    parser = parser_of(["group", "inner"])

    args = parser.parse_args(["group", "inner", "--flag", "--two"])

    assert (args.name, args.flag, args.one, args.two) == ("x", True, False, True)
    assert args.run(args) == 7
    text = parser.subparsers["group"].subparsers["inner"].format_help()
    assert text.index("Inner.") < text.index("a title:") < text.index("The end.")


def test_at_most_one_of() -> None:
    """Two options that exclude one another are an error."""
    with pytest.raises(SystemExit):
        parser_of(["group", "inner"]).parse_args(["group", "inner", "--one", "--two"])


def test_only_the_named_command_is_complete() -> None:
    """A command that is not asked for is a line of help, and its module is not imported."""
    parser = parser_of(["other"])

    assert parser.subparsers["group"].description is None
    assert parser.subparsers["other"].description == "Fail."
    assert "the group" in parser.format_help()


def test_an_option_with_changes_is_another_one() -> None:
    """Changing a shared option leaves the others that share it as they are."""
    changed = NAME(help="another text")
    for option, text in ((NAME, "a name"), (changed, "another text")):
        parser = argparse.ArgumentParser()
        option.add_to(parser)
        assert text in parser.format_help()


def test_every_option_has_a_text() -> None:
    """Each option of each command has a help text."""
    for parser in make_parser(None).with_subparsers():
        for action in parser.actions:
            where = f"{parser.prog} {action.dest}"
            assert action.help or action.metavar == "COMMAND", where
            assert not (action.help or "").endswith("."), where
