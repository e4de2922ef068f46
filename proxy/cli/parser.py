"""The parser of `cab` and `cab-proxy`. Its errors are one line that names what is wrong and the fix."""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any, NoReturn

from cab.proxy.errors import nearest, not_a_choice

_DISTRIBUTION = "coding-agent-bench"

_SECRETS = {
    **dict.fromkeys(("--key", "--api-key", "--upstream-key"), "CAB_KEY"),
    "--admin-token": "CAB_ADMIN_TOKEN",
    "--metrics-token": "CAB_METRICS_TOKEN",
    "--signing-key": "CAB_SIGNING_KEY",
    "--cell-key": "CAB_CELL_KEY",
}
"""What is never an option: others could read it in the list of processes. The variables have it."""


class CommandLineParser(argparse.ArgumentParser):
    """A parser that lists the choices and names the nearest option; its subparsers do so too."""

    def __init__(self, **keywords: Any) -> None:  # noqa: ANN401 - as argparse's own
        super().__init__(formatter_class=_HelpFormatter, allow_abbrev=False, **keywords)

    def add_version(self) -> None:
        """Add `--version`."""
        self.add_argument("--version", action=_Version, help="print the version and exit")

    @property
    def actions(self) -> Sequence[argparse.Action]:
        """Its arguments and options, in the order of the help."""
        return self._actions

    @property
    def subparsers(self) -> Mapping[str, "CommandLineParser"]:
        """Its subcommands by name."""
        found: Any = next(
            (each.choices for each in self._actions if each.nargs == argparse.PARSER), None
        )
        return found or {}

    def with_subparsers(self) -> Iterator["CommandLineParser"]:
        """Yield it and all parsers below it."""
        yield self
        for each in self.subparsers.values():
            yield from each.with_subparsers()

    def parse_known_args(  # type: ignore[override]  # the base has overloads for other namespaces
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Return the parsed arguments; unknown ones are an error of the innermost parser."""
        into = argparse.Namespace() if namespace is None else namespace
        words = sys.argv[1:] if args is None else list(args)
        self._refuse_two_names(words)
        parsed, unknown = super().parse_known_args(words, into)
        if unknown:
            self._refuse_unknown(unknown)
        return parsed, unknown

    def _refuse_two_names(self, words: Sequence[str]) -> None:
        """Refuse one value given by two names of an option: argparse would drop the first in silence."""
        given: dict[str, str] = {}
        for word in takewhile(lambda word: word != "--", words):
            name = word.partition("=")[0]
            action = self._option_string_actions.get(name)
            if action is None or action.nargs is not None:  # a flag has 0
                continue
            before = given.setdefault(action.dest, name)
            if before != name and before in action.option_strings:
                self.error(f"{before} and {name} are the same option; give one of them")

    def _refuse_unknown(self, unknown: Sequence[str]) -> NoReturn:
        # The text behind "=", and what follows a secret's name, may be a secret.
        names = [word.partition("=")[0] if word.startswith("-") else word for word in unknown]
        for name in names:
            if name in _SECRETS:
                self.error(
                    f"{name} is not an option: secrets are never flags; set {_SECRETS[name]}"
                )
        options = {option.lstrip("-"): option for option in self._option_string_actions}
        near = nearest(names[0].lstrip("-"), options)
        hint = f"; did you mean {options[near]}?" if near else ""
        self.error(f"unknown argument {names[0]!r}{hint}")

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with code 2."""
        see = " See" if message.endswith("?") else "; see"
        self.exit(2, f"{self.prog}: {message}{see} {self.prog} --help\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:  # noqa: ANN401 - as argparse's own
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(action, not_a_choice(value, action.choices))


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of descriptions, and shows the defaults of options."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default = shown_default(action)
        return action.help if default is None else f"{action.help} (default: {default})"


class _Version(argparse.Action):
    """Prints the version. Argparse's own action needs it in advance, and finding it takes time."""

    def __init__(self, **keywords: Any) -> None:  # noqa: ANN401 - as argparse's own
        keywords.update(nargs=0, default=argparse.SUPPRESS)
        super().__init__(**keywords)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        """Print the version and exit."""
        import importlib.metadata  # noqa: PLC0415 - it takes longer than all of --help

        print(f"{parser.prog} {importlib.metadata.version(_DISTRIBUTION)}")  # noqa: T201
        parser.exit()


def shown_default(action: argparse.Action) -> str | None:
    """Return the default that the help of an option ends with; None if it has none to show."""
    default = action.default
    if default is None or default is False or default in (argparse.SUPPRESS, []):
        return None
    if action.const is not None:
        return None
    return f"{default:g}" if isinstance(default, float) else str(default).replace("%", "%%")
