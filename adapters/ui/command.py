"""Commands as data: their options, and the subcommands of a group. Parsers are made from them."""

import argparse
import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    # argparse has no public name for what parsers and groups have in common
    from argparse import _ActionsContainer  # pyright: ignore[reportPrivateUsage]


class Option:
    """An option or an argument, as argparse's `add_argument` takes it. Several commands may share it."""

    def __init__(self, *names: str, **keywords: Any) -> None:  # noqa: ANN401 - as argparse's own
        self._names = names
        self._keywords = keywords

    def __call__(self, **changes: Any) -> "Option":  # noqa: ANN401 - as argparse's own
        """Return this option with other keywords."""
        return Option(*self._names, **{**self._keywords, **changes})

    def add_to(self, parser: "_ActionsContainer") -> None:
        """Add it to a parser or a group."""
        parser.add_argument(*self._names, **self._keywords)


class OneOf:
    """Options of which at most one may be given, or exactly one."""

    def __init__(self, *options: Option, required: bool = False) -> None:
        self._options = options
        self._required = required

    def __call__(self, *more: Option) -> "OneOf":
        """Return these options and more of them."""
        return OneOf(*self._options, *more, required=self._required)

    def add_to(self, parser: "_ActionsContainer") -> None:
        """Add them to a parser or a group."""
        group = parser.add_mutually_exclusive_group(required=self._required)
        for option in self._options:
            option.add_to(group)


class OptionGroup:
    """Options under a title in the help."""

    def __init__(
        self, title: str, *options: Option | OneOf, description: str | None = None
    ) -> None:
        self._title = title
        self._description = description
        self._options = options

    def add_to(self, parser: "_ActionsContainer") -> None:
        """Add them to a parser."""
        group = parser.add_argument_group(self._title, self._description)
        for option in self._options:
            option.add_to(group)


class Command(NamedTuple):
    """A subcommand."""

    source: str | object
    """A module's name, or an object, with DESCRIPTION, perhaps EPILOG and USAGE, and either OPTIONS and `run`,
    or COMMANDS: subcommands of its own. The module is imported when the command is asked for."""
    help: str
    """Its line in the help of what it belongs to."""


def add_commands(
    parser: argparse.ArgumentParser, commands: Mapping[str, Command], words: Sequence[str] | None
) -> None:
    """Add subcommands to a parser.

    Args:
        parser: Whose subcommands they are.
        commands: The subcommands by name.
        words: The words of a command line that are not options. Only the subcommand that they name
            is complete, the others are a name and a line of help. None: all are complete.
    """
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (source, text) in commands.items():
        subparser = subparsers.add_parser(name, help=text)
        if words is None:
            _complete(subparser, source, None)
        elif words[:1] == [name]:
            _complete(subparser, source, words[1:])


def _complete(
    parser: argparse.ArgumentParser, source: str | object, words: Sequence[str] | None
) -> None:
    command: Any = importlib.import_module(source) if isinstance(source, str) else source
    parser.description = command.DESCRIPTION
    parser.epilog = getattr(command, "EPILOG", None)
    parser.usage = getattr(command, "USAGE", None)
    if hasattr(command, "COMMANDS"):
        add_commands(parser, command.COMMANDS, words)
        return
    for option in command.OPTIONS:
        option.add_to(parser)
    parser.set_defaults(run=command.run)
