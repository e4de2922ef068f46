"""`cab capture`: what a proxy kept of the bodies of calls."""

from cab.adapters.ui.command import Command

DESCRIPTION = """\
Bodies of calls that were kept (capture = "bodies"): in a ledger, or in the bundle of
one cell. All of it works beside a proxy that runs, and changes neither the ledger's
records nor a cell's seal. docs/capture.md describes it.
"""

COMMANDS = {
    "list": Command(f"{__name__}.list", "list cells, with their calls and sizes"),
    "show": Command(f"{__name__}.show", "print what one call asked and was answered"),
    "delete": Command(f"{__name__}.delete", "delete what was kept of one cell"),
    "prune": Command(f"{__name__}.prune", "delete what is too old, or too much"),
}
