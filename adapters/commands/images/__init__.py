"""`cab images`: builds container images of agents, lists and shows them."""

from cab.adapters.ui.command import Command

DESCRIPTION = """\
Container images whose command is run-cell, one agent each, and one in which
hidden checks run. They are built by podman or docker on this machine.
"""

COMMANDS = {
    "build": Command(f"{__name__}.build", "build the image of an agent, or of the checks"),
    "list": Command(f"{__name__}.list", "list the images that were built"),
    "show": Command(f"{__name__}.show", "show one image, and what is in it"),
}
