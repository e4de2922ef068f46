"""Parts that other installed packages bring, found by their entry points."""

from collections.abc import Collection
from importlib.metadata import entry_points
from typing import NamedTuple


class Extension(NamedTuple):
    """A part of another package."""

    name: str
    path: str
    """What it is, as `module:Class`; not imported yet."""
    origin: str
    """The package that brings it, and its version."""


class UnusableExtension(NamedTuple):
    """A part that is there and cannot be used."""

    name: str
    origin: str
    reason: str


class Extensions(NamedTuple):
    """The parts of one kind."""

    usable: dict[str, Extension]
    """By name."""
    unusable: list[UnusableExtension]


def find_extensions(group: str, built_in: Collection[str]) -> Extensions:
    """Return the parts that installed packages bring; none of them is imported.

    Args:
        group: Group of their entry points, such as `cab.adapters`.
        built_in: Names that are taken: no other package may replace what they stand for.
    """
    found: dict[str, list[Extension]] = {}
    for point in entry_points(group=group):
        package = point.dist
        origin = f"{package.name} {package.version}" if package else "an unknown package"
        found.setdefault(point.name, []).append(Extension(point.name, point.value, origin))
    extensions = Extensions({}, [])
    for name, each in sorted(found.items()):
        if name in built_in:
            reason = "the name is that of a built-in one, which is used; rename the entry point"
        elif len(each) > 1:
            several = ", ".join(sorted(extension.origin for extension in each))
            reason = "several packages give something this name; uninstall all but one of them"
            extensions.unusable.append(UnusableExtension(name, several, reason))
            continue
        else:
            extensions.usable[name] = each[0]
            continue
        extensions.unusable.extend(UnusableExtension(name, e.origin, reason) for e in each)
    return extensions
