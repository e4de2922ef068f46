"""Parts that other installed packages bring: agents, executors. The rule itself is the proxy's."""

from cab.proxy.entry_points import Extension, Extensions, UnusableExtension, find_extensions

__all__ = ["Extension", "Extensions", "UnusableExtension", "find_extensions"]
