"""`cab adapters`: which agents there are, how to get one, how to wire one up by hand."""

import argparse
from typing import TYPE_CHECKING

from cab.adapters.commands.adapters import doctor
from cab.adapters.commands.adapters.install import run_install
from cab.adapters.commands.adapters.list import run_list
from cab.adapters.commands.adapters.show import PROMPT, run_show
from cab.adapters.install.install import agents_folder

if TYPE_CHECKING:
    # argparse has no public name for what add_subparsers returns
    from argparse import _SubParsersAction  # pyright: ignore[reportPrivateUsage]

    Actions = _SubParsersAction[argparse.ArgumentParser]

_INSTALL_EPILOG = """\
An agent from PyPI needs a Python that it supports, or uv, which fetches one. An agent from npm needs
npm; where no Node.js on the PATH is new enough, one comes from npm too. All that belongs to an agent
lies in one folder; remove the folder, and the agent is gone.

exit codes: 0 all are there, 2 one could not be installed, or there is no such agent
"""

_SHOW_EPILOG = """\
The text runs the agent in a HOME of its own, a fresh folder unless AGENT_HOME names one, and changes
nothing outside. The key stays the variable CAB_KEY. With cab-proxy in between, the URL is the
proxy's, and the key the one that it prints.

examples:
  cab adapters show codex --endpoint https://host/v1 --model gpt-5
  CAB_KEY=... bash -c "$(cab adapters show aider --endpoint https://host/v1 --model m --paste)"
"""


def add(subparsers: "Actions") -> None:
    """Add the command to the parser of `cab`."""
    parser = subparsers.add_parser(
        "adapters",
        help="list, install, show and examine agents",
        description="The agent CLIs that cells can be run with. Each is installed into an "
        f"environment of its own below {agents_folder()}.",
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add_list(actions)
    _add_install(actions)
    _add_show(actions)
    _add_doctor(actions)


def _add_doctor(actions: "Actions") -> None:
    parser = actions.add_parser(
        "doctor",
        help="prove that agents are metered: the real CLI against a fake endpoint",
        description=doctor.DESCRIPTION,
        epilog=doctor.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    doctor.add_options(parser)


def _add_list(actions: "Actions") -> None:
    parser = actions.add_parser(
        "list",
        help="all agents: version, dialects, state, token report",
        description="List the agents, and those that are left out, with the reason.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per agent")
    parser.set_defaults(run=run_list)


def _add_install(actions: "Actions") -> None:
    parser = actions.add_parser(
        "install",
        help="install agents; those that are there stay",
        description="Install agents, each into a folder of its own.",
        epilog=_INSTALL_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="see cab adapters list")
    parser.add_argument("--all", action="store_true", help="all agents of the list")
    parser.set_defaults(run=run_install)


def _add_show(actions: "Actions") -> None:
    parser = actions.add_parser(
        "show",
        help="one agent, and how to point it at an endpoint, to paste",
        description="Show what an adapter does, as bash that can be pasted.",
        epilog=_SHOW_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="see cab adapters list")
    parser.add_argument("--endpoint", metavar="URL", help="its base URL (variable CAB_ENDPOINT)")
    parser.add_argument("--model", metavar="NAME", help="as it names it (variable CAB_MODEL)")
    parser.add_argument("--prompt", default=PROMPT, metavar="TEXT", help=f"task ({PROMPT!r})")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--paste", action="store_true", help="print the bash only")
    form.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run_show)
