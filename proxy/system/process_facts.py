"""What is known of a running process."""

from typing import NamedTuple


class ProcessFacts(NamedTuple):
    """A process that runs; a zombie does not."""

    parent: int
    group: int
    session: int
    started: int
    """When it was started, in a unit of the system: with its id it identifies a process, as ids are used again."""
