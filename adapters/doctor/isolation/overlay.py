"""Overlays over the folders outside a run: what an agent writes there stays in memory, and is listed.

Inside the mount namespace each folder is covered by an overlay. So nothing reaches the disk, and
everything in the overlay was written by the agent: no other process writes through it.
"""

import os
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from cab.adapters.install.install import agents_folder
from cab.adapters.workspaces.walk import WorkspaceWalk

_SOCKETS = Path("/run")
"""Where the machine's daemons listen: through their sockets an agent could leave its network."""
_UPPER_ROOT = _SOCKETS / "cab-doctor"
_MOUNT_S = 60.0
_BYTECODE = "__pycache__"


class Overlay(NamedTuple):
    """Folders that are covered by an overlay."""

    uppers: Mapping[Path, Path]
    """Folder -> where the files are that were written to it."""
    not_covered: tuple[str, ...]
    """Folders that could not be covered, each with the reason."""

    def places(self, own: Path) -> Iterator[tuple[Path, Path, Collection[Path]]]:
        """Yield each folder, where the files are that were written to it, and the doctor's own among them."""
        for folder, upper in self.uppers.items():
            ours = (
                upper / each.relative_to(folder)
                for each in (own, _UPPER_ROOT)
                if each.is_relative_to(folder)
            )
            yield folder, upper, tuple(ours)

    def written(self, own: Path) -> Iterator[str]:
        """Yield what was written, changed or removed.

        Args:
            own: The doctor's own folder, whose files are skipped.
        """
        for folder, upper, ours in self.places(own):
            left_out = {each.relative_to(upper).as_posix() for each in ours}
            with WorkspaceWalk(upper, left_out=left_out.__contains__) as walk:
                for found in walk:
                    here = folder / found.path
                    if not found.is_folder and here.parent.name != _BYTECODE:
                        yield str(here)


def mount_overlays() -> Overlay:
    """Cover the folders where agents may write; only for a process in a mount namespace of its own.

    Raises:
        OSError: Nothing can be mounted at all.
    """
    resolver = Path("/etc/resolv.conf")
    servers = resolver.read_bytes()
    _mount("-t", "tmpfs", "tmpfs", str(_SOCKETS))
    if not resolver.exists():  # on some machines it is a link into the covered folder
        target = Path(os.path.realpath(resolver))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(servers)
    uppers: dict[Path, Path] = {}
    not_covered: list[str] = []
    for folder in _outermost(_places()):
        try:
            uppers[folder] = _cover(folder, _UPPER_ROOT / str(len(uppers)))
        except OSError as error:
            not_covered.append(f"{folder}: {error.strerror}")
    os.chdir(Path.cwd())  # from the covered folder to the overlay
    return Overlay({_SOCKETS: _SOCKETS, **uppers}, tuple(not_covered))


def _places() -> Iterator[Path]:
    """Yield the folders where programs leave files, and those of the operator."""
    yield from (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"), Path("/root"))
    yield from (Path(tempfile.gettempdir()), Path.home(), agents_folder(), Path.cwd())


def _outermost(places: Iterator[Path]) -> list[Path]:
    found = {place.resolve() for place in places if os.access(place, os.W_OK)} - {Path("/")}
    return sorted(place for place in found if not found & set(place.parents))


def _cover(folder: Path, root: Path) -> Path:
    """Cover a folder; return where the files are that are written to it from now on."""
    upper, work = root / "upper", root / "work"
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
    # Colons separate folders, commas separate options.
    return str(folder).replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")


def _mount(*words: str) -> None:
    _run("mount", *words)


def _run(*words: str) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_MOUNT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise OSError(0, f"{words[0]} did not end within {_MOUNT_S:g} s", words[-1]) from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"{words[0]} failed"]
        raise OSError(0, lines[-1], words[-1])
