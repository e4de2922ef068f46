"""The option `--messages`: prompts and answers leave a capture only where somebody asked for them."""

import sys
from collections.abc import Iterable
from pathlib import Path

from cab.adapters.ui.command import Option
from cab.scoring.capture.layout import capture_folder
from cab.scoring.printable import counted

MESSAGES_OPTION = Option(
    "--messages",
    action="store_true",
    help="with the messages of the calls, where they were kept (docs/capture.md)",
)


def say_what_is_not_shown(paths: Iterable[Path]) -> None:
    """Say on standard error how many bundles have a capture that is not shown; nothing if none has."""
    count = sum(capture_folder(path) is not None for path in paths)
    if count:
        cells = counted(count, "cell holds", "cells hold")
        sys.stderr.write(f"{cells} captured messages, which are left out; --messages adds them\n")
