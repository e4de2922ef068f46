"""Finds secrets in files, in processes and in streams of output."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from cab.adapters.doctor.leaks.encodings import SecretForms, readings
from cab.adapters.workspaces.bounds import DEPTH, FILE_SIZE, TIME, TOTAL_SIZE, WorkspaceBounds
from cab.adapters.workspaces.walk import Unread, WalkedEntry, WorkspaceWalk, readable_name
from cab.proxy.redaction import Redactor
from cab.proxy.redaction.in_bytes import SecretsInBytes
from cab.proxy.system.processes import arguments_of, environment_of

BOUNDS = WorkspaceBounds(entries=1_000_000, listing_bytes=1 << 30, file_bytes=4 << 30, time_s=600.0)
"""What is searched of one folder."""

_TOO_MUCH = frozenset({DEPTH, FILE_SIZE, TIME, TOTAL_SIZE})
_ANY = "any key"


class Leak(NamedTuple):
    """One secret in one place."""

    secret: str
    """Its name; never the secret itself."""
    place: str
    """File, or part of a process."""


def secrets_in(text: bytes, secrets: SecretForms) -> set[str]:
    """Return the names of the secrets that are in a text, in any form."""
    return {name for name, forms in secrets.items() if any(form in text for form in forms)}


def file_leaks(
    root: Path, secrets: SecretForms, label: str, skipped: Collection[Path] = ()
) -> Iterator[Leak]:
    """Yield the files below a folder that hold a secret, in their content or their name.

    Links are not followed; their targets are read like names. What is too much to be searched may hold
    any secret.

    Args:
        root: The folder.
        secrets: What to look for.
        label: Name of the folder in the result.
        skipped: Folders below it that are not searched.
    """
    left_out = {path.relative_to(root).as_posix() for path in skipped if path.is_relative_to(root)}
    with WorkspaceWalk(root, bounds=BOUNDS, left_out=left_out.__contains__) as walk:
        for found in walk:
            if found.path not in left_out:
                for name in sorted(_secrets_in_file(walk, found, secrets)):
                    yield Leak(name, f"{label}/{_redacted(readable_name(found.path), secrets)}")
    for path, word in walk.skipped.items():
        if word in _TOO_MUCH:
            yield Leak(_ANY, f"{label}/{_redacted(path, secrets)}, which was not searched: {word}")
    if walk.cut_short is not None:
        yield Leak(_ANY, f"{label}, of which not all was searched: {walk.cut_short}")


def _secrets_in_file(walk: WorkspaceWalk, found: WalkedEntry, secrets: SecretForms) -> set[str]:
    names = secrets_in(os.fsencode(found.path), secrets)
    try:
        if found.is_link:
            return names | secrets_in(os.fsencode(found.target()), secrets)
        if found.is_file:
            with walk.opened(found) as handle:
                for reading in readings(handle):
                    names |= _secrets_in_chunks(reading, secrets)
    except (OSError, Unread):
        return names  # it was removed meanwhile
    return names


def _secrets_in_chunks(chunks: Iterable[bytes], secrets: SecretForms) -> set[str]:
    found: set[str] = set()
    overlap = max((len(form) for forms in secrets.values() for form in forms), default=1) - 1
    tail = b""
    for chunk in chunks:
        window = tail + chunk
        found |= secrets_in(window, secrets)
        tail = window[-overlap:] if overlap else b""
    return found


def _redacted(place: str, secrets: SecretForms) -> str:
    plain = [form.decode(errors="replace") for forms in secrets.values() for form in forms]
    for form in plain:
        place = place.replace(form, "[key]")
    return place


def process_leaks(pid: int, secrets: SecretForms) -> Iterator[Leak]:
    """Yield the parts of a process, `argv` and `environ`, that hold a secret.

    Args:
        pid: The process.
        secrets: What to look for.
    """
    for part, data in (("argv", arguments_of(pid)), ("environ", environment_of(pid))):
        for name in secrets_in(data or b"", secrets):
            yield Leak(name, part)


class SecretFinder(Redactor):
    """Redacts nothing, and notes which secrets pass: of very long output only a part is stored.

    Args:
        forms: What to look for.
    """

    def __init__(self, forms: SecretForms) -> None:
        super().__init__(form.decode("latin-1") for each in forms.values() for form in each)
        self._forms = forms
        self.found: set[str] = set()
        """Names of the secrets that passed."""

    @cached_property
    def in_bytes(self) -> SecretsInBytes:
        """What notes the secrets in bytes, across pieces."""
        return _NotedSecrets(self.encoded, (), b"", self._note)

    def _note(self, data: bytes) -> None:
        self.found |= secrets_in(data, self._forms)

    def text(self, text: str) -> str:
        """Return the text as it is: arguments are searched by the process watch."""
        return text


class _NotedSecrets(SecretsInBytes):
    """Leaves the bytes as they are, and notes what passes.

    Args:
        exact: As for `SecretsInBytes`.
        forms: As for `SecretsInBytes`.
        mark: As for `SecretsInBytes`.
        note: Is given all that passes; no secret is split over two pieces of it.
    """

    def __init__(
        self,
        exact: Sequence[bytes],
        forms: Sequence[bytes],
        mark: bytes,
        note: Callable[[bytes], None],
    ) -> None:
        super().__init__(exact, forms, mark)
        self._note = note

    def split(self, data: bytes, *, last: bool) -> tuple[bytes, bytes]:
        """Return what passes by now, and the rest."""
        _, rest = super().split(data, last=last)
        done = data[: len(data) - len(rest)]
        self._note(done)
        return done, rest
