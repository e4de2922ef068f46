"""Folders that are no run's own: what an agent writes there is caught in memory, and seen.

Inside the mount namespace each of them is covered by an overlay. So nothing of it reaches the disk,
and whatever is caught was written by the agent: nobody else writes through the overlay.
"""

import os
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from cab.adapters.install.install import agents_folder

_SOCKETS = Path("/run")
"""Where the machine's daemons listen: over their sockets an agent would leave its network."""
_CATCH = _SOCKETS / "cab-doctor"
_BYTECODE = "__pycache__"


class Overlay(NamedTuple):
    """Folders that are covered."""

    caught: Mapping[Path, Path]
    """Folder -> where that lies which was written to it."""
    unseen: tuple[str, ...]
    """Folders that could not be covered, each with the reason."""

    def places(self, own: Path) -> Iterator[tuple[Path, Path, Collection[Path]]]:
        """Yield each folder, where what was written to it lies, and what of that is the doctor's own."""
        for folder, upper in self.caught.items():
            ours = (
                upper / each.relative_to(folder)
                for each in (own, _CATCH)
                if each.is_relative_to(folder)
            )
            yield folder, upper, tuple(ours)

    def written(self, own: Path) -> Iterator[str]:
        """Yield what was written, changed or removed.

        Args:
            own: The doctor's own folder, whose files are passed over.
        """
        for folder, upper, ours in self.places(own):
            for place, names, files in os.walk(upper):
                names[:] = [each for each in names if Path(place) / each not in ours]
                here = folder / Path(place).relative_to(upper)
                if here.name != _BYTECODE:
                    yield from (str(here / name) for name in files)


def cover() -> Overlay:
    """Cover the folders where agents may write; only for a process in a mount namespace of its own.

    Raises:
        OSError: Nothing can be mounted at all.
    """
    resolver = Path("/etc/resolv.conf")
    servers = resolver.read_bytes()
    _mount("-t", "tmpfs", "tmpfs", str(_SOCKETS))
    if not resolver.exists():  # on some machines it is a link to where the daemons are
        target = Path(os.path.realpath(resolver))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(servers)
    caught: dict[Path, Path] = {}
    unseen: list[str] = []
    for folder in _outermost(_places()):
        try:
            caught[folder] = _covered(folder, _CATCH / str(len(caught)))
        except OSError as error:
            unseen.append(f"{folder}: {error.strerror}")
    os.chdir(Path.cwd())  # from below the cover to what is on top
    return Overlay({_SOCKETS: _SOCKETS, **caught}, tuple(unseen))


def _places() -> Iterator[Path]:
    """Yield the folders where programs leave files, and those of the operator."""
    yield from (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"), Path("/root"))
    yield from (Path(tempfile.gettempdir()), Path.home(), agents_folder(), Path.cwd())


def _outermost(places: Iterator[Path]) -> list[Path]:
    found = {place.resolve() for place in places if os.access(place, os.W_OK)} - {Path("/")}
    return sorted(place for place in found if not found & set(place.parents))


def _covered(folder: Path, catch: Path) -> Path:
    """Cover a folder; return where that lies which is written to it from now on."""
    upper, work = catch / "upper", catch / "work"
    for each in (upper, work):
        each.mkdir(parents=True)
    options = f"lowerdir={_quoted(folder)},upperdir={upper},workdir={work},userxattr"
    needed = [each for each in (agents_folder(), Path.cwd()) if each.exists()]
    _mount("-t", "overlay", "overlay", "-o", options, str(folder))
    if not all(each.exists() for each in needed):  # mounts below a folder are hidden with it
        _run("umount", str(folder))
        raise OSError(0, "what is mounted below it is needed", str(folder))
    return upper


def _quoted(folder: Path) -> str:
    # Colons part several folders, commas the options.
    return str(folder).replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")


def _mount(*words: str) -> None:
    _run("mount", *words)


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"{words[0]} failed"]
        raise OSError(0, lines[-1], words[-1])
