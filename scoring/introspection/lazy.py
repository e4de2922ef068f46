"""A package that loads its names when one of them is first used."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from types import FrameType, MappingProxyType, ModuleType
from typing import Any

_CALLS_OF_HELP = 4
"""Calls between `pydoc` and the names of a package: two of `inspect`, and `dir` of a few more versions."""


def exports(
    package: str,
    inner: tuple[str, ...],
    packages: tuple[str, ...] = (),
    names: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` for a package that exports what modules in it do.

    `__all__` is then what they export, so that no name has to be written down twice. `help` shows the
    docstring of the package and no more: it asks for no names.

    Args:
        package: Full name of the package.
        inner: Names of these modules, each loaded when no one before it has the name that is asked for.
        packages: Names of packages in it that are exported as they are, and loaded on first use.
        names: Single names that are loaded on first use -> the module in it that has them.
    """

    def load(name: str) -> Any:  # noqa: ANN401 - whatever is exported
        if name in packages:
            return import_module(f"{package}.{name}")
        if name in names:
            return getattr(import_module(f"{package}.{names[name]}"), name)
        # `from package import module` asks here first: that must not load them.
        private = name.startswith("_") and name != "__all__"
        if not private and find_spec(f"{package}.{name}") is None:
            modules = (import_module(f"{package}.{each}") for each in inner)
            if name == "__all__":
                found = [each for module in modules for each in _public(module)]
                return [*_public(sys.modules[package]), *found, *packages, *names]
            for exported in map(_public, modules):
                if name in exported:
                    return exported[name]
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def names_of() -> list[str]:
        return [] if _help_asks() else sorted({*vars(sys.modules[package]), *load("__all__")})

    return load, names_of


def _help_asks() -> bool:
    """Return whether `help` asks for the names: it would print every class with all that it inherits."""
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - nothing else shows who asks
    for _ in range(_CALLS_OF_HELP):
        if frame is None:
            return False
        if frame.f_globals.get("__name__") == "pydoc":
            return True
        frame = frame.f_back
    return False


def _public(module: ModuleType) -> dict[str, Any]:
    names = vars(module).items()
    return {
        name: value
        for name, value in names
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
