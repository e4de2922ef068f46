"""Options that several commands share: each one has one name, one meaning and one text."""

import re
from collections.abc import Sequence
from pathlib import Path

from cab.adapters.ui.command import OneOf, Option

_DURATION = re.compile(r"([0-9]{1,9})([smhd])")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

TUI = Option("--tui", "--agent", metavar="NAME", help="agent; cab adapters list shows all")
MODEL = Option(
    "--model",
    metavar="NAME",
    help="model, as the endpoint names it; not needed with --upstream demo",
)
TASK = Option(
    "--task",
    metavar="TASK",
    help="task; cab tasks list shows all. The path of a folder, such as ./mine, is a task of your own",
)
UPSTREAM = Option(
    "--upstream",
    metavar="URL",
    help="model endpoint, instead of CAB_ENDPOINT; demo is the built-in one",
)
RUNS = Option(
    "--runs", type=Path, default=Path("runs"), metavar="DIR", help="folder of the bundles"
)
TIMEOUT = Option("--timeout-s", type=float, metavar="S", help="time limit of the agent in seconds")
CAPTURE = Option(
    "--capture",
    choices=("off", "bodies"),
    help="bodies: keep what each call asked and was answered, in the bundle (docs/capture.md)",
)
ENGINE = Option("--engine", metavar="NAME", help="docker or podman; if unset, what is installed")
CHECKS_IMAGE = Option(
    "--checks-image",
    metavar="NAME",
    help="image for the hidden checks of tasks that name none; if unset, what cab images build checks made",
)
AGENTS = Option("names", nargs="*", metavar="NAME", help="an agent; cab adapters list shows all")
JSON = Option("--json", action="store_true", help="print one JSON object")
JSON_LINES = JSON(help="print one JSON object per line")


def form(name: str, text: str) -> Option:
    """Return the option that chooses a form of the output; `args.form` is its name, else `table`."""
    return Option(
        f"--{name}", action="store_const", const=name, dest="form", default="table", help=text
    )


MARKDOWN = form("markdown", "print a Markdown table")
TABLE_FORMS = (
    form("json", "print one JSON object per line, in the stored units"),
    MARKDOWN,
    form("csv", "print comma-separated values with a header, in the stored units"),
)
FORMS = OneOf(*TABLE_FORMS)


def duration_s(text: str) -> int | None:
    """Return the seconds of a duration such as 90m, 24h or 7d; None if it is not one."""
    match = _DURATION.fullmatch(text)
    return None if match is None else int(match[1]) * _UNITS_S[match[2]]


def _part(word: str) -> str:
    return "tui" if word == "agent" else word


def by(parts: Sequence[str], text: str) -> Option:
    """Return `--by` for some parts of a cell's id; `agent` is another word for `tui`."""
    return Option(
        "--by",
        choices=(*parts, "agent"),
        type=_part,
        metavar="PART",
        help=f"{text}: {', '.join(parts)}; agent is another word for tui",
    )
