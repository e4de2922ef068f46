"""Looks for secrets where they must not be: in files, in arguments, in environments, in what is printed."""

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from cab.adapters.doctor.leaks.encodings import Forms, readings
from cab.proxy.redaction import Redactor

_PROC = Path("/proc")


class Leak(NamedTuple):
    """One secret in one place."""

    secret: str
    """What it is called; never the secret itself."""
    place: str
    """File, or part of a process."""


def held_in(text: bytes, secrets: Forms) -> set[str]:
    """Return the names of the secrets that stand in a text, in whatever form."""
    return {name for name, forms in secrets.items() if any(form in text for form in forms)}


def file_leaks(
    root: Path, secrets: Forms, label: str, skipped: Collection[Path] = ()
) -> Iterator[Leak]:
    """Yield the files below a folder that hold a secret, in their content or their name.

    Links are not followed; where they lead to is read like a name.

    Args:
        root: The folder.
        secrets: What to look for.
        label: What the folder is called in the result.
        skipped: Folders below it that are not looked at.
    """
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if Path(folder) / name not in skipped]
        for path in (Path(folder) / name for name in (*names, *files)):
            place = path.relative_to(root).as_posix()
            for name in sorted(_held_by(path, place, secrets)):
                yield Leak(name, f"{label}/{_without(place, secrets)}")


def _held_by(path: Path, place: str, secrets: Forms) -> set[str]:
    found = held_in(os.fsencode(place), secrets)
    try:
        if path.is_symlink():
            return found | held_in(os.fsencode(path.readlink()), secrets)
        if path.is_file():
            for reading in readings(path):
                found |= _held_by_chunks(reading, secrets)
    except OSError:
        return found  # gone meanwhile
    return found


def _held_by_chunks(chunks: Iterable[bytes], secrets: Forms) -> set[str]:
    found: set[str] = set()
    overlap = max((len(form) for forms in secrets.values() for form in forms), default=1) - 1
    tail = b""
    for chunk in chunks:
        window = tail + chunk
        found |= held_in(window, secrets)
        tail = window[-overlap:] if overlap else b""
    return found


def _without(place: str, secrets: Forms) -> str:
    plain = [form.decode(errors="replace") for forms in secrets.values() for form in forms]
    for form in plain:
        place = place.replace(form, "[key]")
    return place


def process_leaks(pid: int, secrets: Forms) -> Iterator[Leak]:
    """Yield the parts of a process, `argv` and `environ`, that hold a secret.

    Args:
        pid: The process.
        secrets: What to look for.
    """
    for part, file in (("argv", "cmdline"), ("environ", "environ")):
        try:
            data = (_PROC / str(pid) / file).read_bytes()
        except OSError:
            continue
        for name in held_in(data, secrets):
            yield Leak(name, part)


class Finder(Redactor):
    """Masks nothing, and notes which secrets pass: of a flood of output only a part is kept.

    Args:
        forms: What to look for.
    """

    def __init__(self, forms: Forms) -> None:
        super().__init__(form.decode("latin-1") for each in forms.values() for form in each)
        self._forms = forms
        self.found: set[str] = set()
        """Names of the secrets that passed."""

    def __call__(self, data: bytes) -> bytes:
        """Return the bytes as they are."""
        self.found |= held_in(data, self._forms)
        return data

    def text(self, text: str) -> str:
        """Return the text as it is: arguments are looked at elsewhere."""
        return text
