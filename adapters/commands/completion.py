"""`cab completion`: scripts that complete command lines of `cab` and `cab-proxy` in a shell."""

import argparse
from pathlib import Path

import shtab

from cab.adapters.agents.registry import ADAPTERS
from cab.adapters.tasks.loader import list_tasks
from cab.adapters.ui.command import Option
from cab.proxy.cli.flags import make_parser as make_proxy_parser
from cab.scoring.profiles.builtin import PROFILES

SHELLS = ("bash", "zsh", "fish")

DESCRIPTION = """\
Print a script that completes commands, options, agents, tasks and files in a
shell. The script does not start CAB; print it again after an update.
"""

EPILOG = """\
install it for bash:
  mkdir -p ~/.local/share/bash-completion/completions
  cab completion bash > ~/.local/share/bash-completion/completions/cab
for zsh, where the folder is in $fpath before compinit runs:
  cab completion zsh > ~/.zfunc/_cab
for fish:
  cab completion fish > ~/.config/fish/completions/cab.fish

For cab-proxy: add the word cab-proxy, and name the file after it.
"""

OPTIONS = (
    Option("shell", choices=SHELLS, metavar="SHELL", help="bash, zsh or fish"),
    Option(
        "program",
        nargs="?",
        choices=("cab", "cab-proxy"),
        default="cab",
        metavar="PROGRAM",
        help="cab or cab-proxy",
    ),
)


def run(args: argparse.Namespace) -> int:
    """Print a script; return the exit code."""
    print(completion_script(args.shell, args.program), end="")
    return 0


def completion_script(shell: str, program: str) -> str:
    """Return the script for a shell.

    Args:
        shell: One of `SHELLS`.
        program: `cab` or `cab-proxy`.
    """
    from cab.adapters.cli import make_parser  # noqa: PLC0415 - it lists this command

    parser = make_proxy_parser() if program == "cab-proxy" else make_parser(None)
    agents, tasks = sorted(ADAPTERS), [task.id for task in list_tasks()]
    known = {
        **dict.fromkeys(("tui", "name", "names"), agents),
        **dict.fromkeys(("task", "tasks"), tasks),
        "profile": list(PROFILES),
    }
    for each in parser.with_subparsers():
        for action in each.actions:
            if action.choices is None and action.dest in known:
                action.choices = known[action.dest]
            elif action.type is Path:
                folder = action.metavar == "DIR"
                action.complete = shtab.DIRECTORY if folder else shtab.FILE  # type: ignore[attr-defined]
    return shtab.complete(parser, shell)
