"""What is imported later: names of a package when they are first used, modules beside the event loop."""

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module


def attribute_loader(package: str, modules: Mapping[str, Sequence[str]]) -> Callable[[str], object]:
    """Return a `__getattr__` for a package.

    Args:
        package: Its `__name__`.
        modules: Modules below it, each with the names that it gives to the package.
    """
    homes = {name: module for module, names in modules.items() for name in names}

    def load(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value: object = getattr(import_module(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return load


def import_beside(*modules: str) -> Callable[[], None]:
    """Import modules on a thread, so that nothing on the event loop has to wait for that.

    Returns:
        What waits for the end of the thread: code that is imported while a program ends makes Python
        forget that Ctrl-C ended it.
    """

    def load() -> None:
        for name in modules:
            import_module(name)

    thread = threading.Thread(target=load, name="cab-import", daemon=True)
    thread.start()
    return thread.join
