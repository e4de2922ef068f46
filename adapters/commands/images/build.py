"""`cab images build`: the image of an agent, or of the checks."""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

from cab.adapters.commands.images.list import ENGINE, image_engine, image_row
from cab.adapters.errors import AdapterError
from cab.adapters.install.images.build import build_image
from cab.adapters.install.images.build_request import (
    NETWORK_VARIABLE,
    PACKAGES,
    SETTINGS,
    SETTINGS_VARIABLE,
    WHEELS_VARIABLE,
    BuildRequest,
    build_request,
    parse_settings,
)
from cab.adapters.install.images.built import BuiltImage
from cab.adapters.processes.termination import run_until_terminated
from cab.adapters.ui.command import Option, OptionGroup
from cab.adapters.ui.json_lines import print_json
from cab.adapters.ui.options import JSON
from cab.adapters.ui.progress import progress
from cab.scoring.printable import printable

DESCRIPTION = """\
Build a container image: the agent as its adapter installs it, cab as it is
installed here, and the tools that tasks need. Two builds on one base have the
same layers. The image is localhost/cab-agent-NAME:VERSION, or
localhost/cab-checks:VERSION for checks.
"""

EPILOG = f"""\
environment:
  {SETTINGS_VARIABLE}   as --build-file, several separated by commas
  {WHEELS_VARIABLE}  as --wheels
  {NETWORK_VARIABLE} as --network
  SOURCE_DATE_EPOCH time that the image states; if unset, that of its base

examples:
  cab images build aider
  cab images build aider --agent-version 0.86.0 --base debian:bookworm-slim@sha256:...
  cab images build checks

exit codes: 0 built, 2 it could not be built, or the agent is unknown
"""

OPTIONS = (
    Option("what", metavar="TUI|checks", help="an agent, or checks; cab adapters list shows all"),
    Option("--agent-version", metavar="V", help="version of the agent; if unset, the adapter's"),
    Option("--base", metavar="IMAGE", help="image to build on, of Debian or Ubuntu"),
    Option(
        "--binary",
        type=Path,
        metavar="FILE",
        help="the agent's program, where no package registry has it",
    ),
    Option(
        "--packages",
        metavar="NAMES",
        help=f"packages of the system, instead of: {' '.join(PACKAGES)}",
    ),
    ENGINE,
    Option("--no-cache", action="store_true", help="build every layer again"),
    OptionGroup(
        "settings of this machine",
        Option(
            "--build-file",
            action="append",
            metavar="NAME=FILE",
            help=f"a file that the build uses and the image does not keep: {', '.join(SETTINGS)}",
        ),
        Option(
            "--wheels",
            type=Path,
            metavar="DIR",
            help="folder of Python packages that pip may use beside its index",
        ),
        Option("--network", metavar="NAME", help="network of the build, such as host"),
    ),
    JSON,
)


def run(args: argparse.Namespace) -> int:
    """Build an image; return the exit code."""
    built = run_until_terminated(_build(_request(args), args.engine))
    if args.json:
        print_json(image_row(built))
    else:
        print(printable(built.name))
        print(built.digest or built.id)
    return 0


def _request(args: argparse.Namespace) -> BuildRequest:
    wanted = build_request(
        args.what, version=args.agent_version, base=args.base, binary=args.binary
    )
    words = args.build_file
    if words is None:
        words = [word for word in os.environ.get(SETTINGS_VARIABLE, "").split(",") if word]
    given = args.wheels or os.environ.get(WHEELS_VARIABLE)
    wheels = Path(given).absolute() if given else None
    if wheels is not None and not wheels.is_dir():
        raise AdapterError(f"--wheels {wheels} is not a folder; give one")
    return replace(
        wanted,
        packages=PACKAGES if args.packages is None else tuple(args.packages.split()),
        settings=parse_settings(words),
        wheels=wheels,
        network=args.network or os.environ.get(NETWORK_VARIABLE) or None,
        cache=not args.no_cache,
    )


async def _build(wanted: BuildRequest, engine: str | None) -> BuiltImage:
    found = await image_engine(engine)
    with progress(f"building {wanted.name}", sys.stderr):
        return await build_image(found, wanted)
