"""`cab images list`: the images that were built on this machine."""

import argparse
import asyncio
from typing import Any

from cab.adapters.install.images.built import LABEL, BuiltImage, list_images
from cab.adapters.sandboxes.engine import ContainerEngine, find_engine
from cab.adapters.ui.command import Option
from cab.adapters.ui.json_lines import print_json
from cab.adapters.ui.layout import Column
from cab.adapters.ui.options import JSON_LINES
from cab.adapters.ui.tables import print_rows

DESCRIPTION = "List the images that were built on this machine, as the engine has them."

ENGINE = Option(
    "--engine", metavar="NAME", help="docker or podman; if unset, the first that answers"
)

OPTIONS = (ENGINE, JSON_LINES)

_COLUMNS = (
    Column("image", "name"),
    Column("cab", "name", rank=2),
    Column("MB", "number", rank=1),
    Column("digest", "name", rank=3),
)


def run(args: argparse.Namespace) -> int:
    """Print all images; return the exit code."""
    found = asyncio.run(_list(args.engine))
    if args.json:
        print_json(*map(image_row, found))
        return 0
    if not found:
        print("There is no image; build one with: cab images build NAME")
        return 0
    rows = [
        (
            each.name,
            each.labels.get("cab.version", "-"),
            f"{each.size_bytes / 1e6:,.0f}",
            each.digest or each.id,
        )
        for each in found
    ]
    print_rows(_COLUMNS, rows)
    return 0


def image_row(image: BuiltImage) -> dict[str, Any]:
    """Return an image for JSON."""
    return {
        "name": image.name,
        "image": image.labels.get(LABEL),
        "agent": image.labels.get("cab.agent"),
        "agent_version": image.labels.get("cab.agent.version"),
        "cab_version": image.labels.get("cab.version"),
        "id": image.id,
        "digest": image.digest,
        "created": image.created,
        "size_bytes": image.size_bytes,
        "layers": image.layers,
        "labels": image.labels,
    }


async def image_engine(wanted: str | None) -> ContainerEngine:
    """Return the engine that builds and has images.

    Raises:
        AdapterError: None answers.
    """
    return await find_engine(wanted, otherwise="or install podman, which needs no service")


async def _list(engine: str | None) -> list[BuiltImage]:
    return await list_images(await image_engine(engine))
