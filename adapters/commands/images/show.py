"""`cab images show`: one image, and what is in it."""

import argparse
import asyncio
import sys

from cab.adapters.commands.images.list import ENGINE, image_engine, image_row
from cab.adapters.install.images.built import BuiltImage, find_built, read_sbom
from cab.adapters.ui.command import OneOf, Option
from cab.adapters.ui.json_lines import print_json
from cab.adapters.ui.options import JSON
from cab.scoring.printable import printable

DESCRIPTION = "Show one image: its digests, its labels, its layers."

EPILOG = """\
--sbom prints the software bill of materials that lies in the image: CycloneDX
1.5 as JSON, with every package of the system, of Python and of npm.
"""

OPTIONS = (
    Option("name", metavar="NAME", help="an agent, checks, or the name of an image"),
    ENGINE,
    OneOf(Option("--sbom", action="store_true", help="print the list of what is in it"), JSON),
)


def run(args: argparse.Namespace) -> int:
    """Print one image; return the exit code."""
    image, sbom = asyncio.run(_found(args.name, args.engine, with_sbom=args.sbom))
    if sbom is not None:
        sys.stdout.buffer.write(sbom)
        return 0
    if args.json:
        print_json(image_row(image))
        return 0
    for name, value in _lines(image):
        print(printable(f"{name + ':':<12}{value}"))
    return 0


def _lines(image: BuiltImage) -> list[tuple[str, str]]:
    return [
        ("image", image.name),
        ("digest", image.digest or "none"),
        ("id", image.id),
        ("size", f"{image.size_bytes / 1e6:,.0f} MB"),
        *(("layer", layer) for layer in image.layers),
        *(("label", f"{name}={value}") for name, value in sorted(image.labels.items())),
    ]


async def _found(
    name: str, engine: str | None, *, with_sbom: bool
) -> tuple[BuiltImage, bytes | None]:
    running = await image_engine(engine)
    image = await find_built(running, name)
    return image, await read_sbom(running, image) if with_sbom else None
