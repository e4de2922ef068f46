"""Parts that other installed packages bring: agents, executors. The rule itself is shared with the proxy's sinks."""

from cab.scoring.introspection.entry_points import (
    Extension,
    Extensions,
    UnusableExtension,
    find_extensions,
)

__all__ = ["Extension", "Extensions", "UnusableExtension", "find_extensions"]
