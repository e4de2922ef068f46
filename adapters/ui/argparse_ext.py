"""Command lines whose errors are one line that names the mend."""

import argparse
import re
from collections.abc import Sequence
from typing import NoReturn

from cab.adapters.errors import nearest

_BAD_CHOICE = re.compile(r"argument (?P<what>.+?): invalid choice: '(?P<given>.*?)' \(.*\)")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


class OneLineParser(argparse.ArgumentParser):
    """A parser that says what was probably meant; its subparsers do so too."""

    def parse_known_args(  # type: ignore[override]  # the base has overloads for other namespaces
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Return the parsed arguments; unknown ones are an error of the innermost parser."""
        into = argparse.Namespace() if namespace is None else namespace
        parsed, unknown = super().parse_known_args(args, into)
        if unknown:
            self.error(f"unknown argument {unknown[0]!r}{self._meant(unknown[0])}")
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        """Print one line and leave with exit code 2."""
        match = _BAD_CHOICE.fullmatch(message)
        if match is not None:
            near = nearest(match["given"], re.findall(r"[\w-]+", message.partition("choose")[2]))
            hint = f"; did you mean {near!r}?" if near else ""
            message = f"{match['what']}: {match['given']!r} is no choice{hint}"
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")

    def _meant(self, argument: str) -> str:
        near = nearest(argument.partition("=")[0], set(_OPTION.findall(self.format_help())))
        return f"; did you mean {near}?" if near else ""
