"""What a site remembers of how it was made, so that the next run renders only what changed."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import orjson

from cab.adapters.errors import AdapterError
from cab.adapters.output.whole_file import write_whole
from cab.adapters.report.comparison.kept import KeptComparison
from cab.adapters.report.entries import SiteEntry
from cab.proxy.control.live.files import STYLESHEET
from cab.proxy.ledger.file_lock import lock_file
from cab.scoring.capture.layout import capture_folder, cell_folders
from cab.scoring.cells.bundle import (
    AFTER_FILE,
    BEFORE_FILE,
    CALLS_FILE,
    CELL_FILE,
    MARKER_FILE,
    PATCH_FILE,
    SEAL_FILE,
    STDOUT_FILE,
)
from cab.scoring.cells.result_record import RESULT_FILE
from cab.scoring.files import naming

STATE_FILE = ".cab-report.jsonl"
_SCHEMA = "cab.report-state/2"

_INPUTS = (
    *(CELL_FILE, CALLS_FILE, SEAL_FILE, BEFORE_FILE, AFTER_FILE, PATCH_FILE, STDOUT_FILE),
    *("stderr.txt", "recording.cast", RESULT_FILE, MARKER_FILE),
)
"""Files of a bundle that its page is made from."""

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class MadePages:
    """What was made from one bundle or file."""

    digest: str
    """Of its content, and of what makes pages from it."""
    entries: list[SiteEntry]


@dataclass(frozen=True, slots=True)
class SiteState:
    """What a run leaves for the next one."""

    made: list[MadePages]
    comparisons: list[KeptComparison]


def content_digest(path: Path, made_by: str, *, with_messages: bool = False) -> str:
    """Return the digest of a cell's content; where the cell lies is no part of it.

    Args:
        path: A bundle, or a file of cells.
        made_by: What makes pages from it: see `maker_digest`.
        with_messages: Whether what was said in its calls is part of it.

    Raises:
        BadRecord: It cannot be read.
    """
    digest = sha256(made_by.encode())
    files = [path / name for name in _INPUTS] if path.is_dir() else [path]
    if with_messages:
        digest.update(b"\0messages")
        files += _captured(path)
    for file in files:
        if file.is_file():
            digest.update(f"\0{file.name}\0{file.stat().st_size}\0".encode())
            _add(file, digest.update)
        else:
            digest.update(f"\0{file.name}\0-\0".encode())
    return digest.hexdigest()


def _captured(path: Path) -> list[Path]:
    folder = capture_folder(path)
    if folder is None:
        return []
    with naming(folder):
        # Lines name the parts by their digests; but a part may be gone.
        return [file for cell in cell_folders(folder) for file in sorted(cell.iterdir())]


def _add(file: Path, update: Any) -> None:  # noqa: ANN401 - a method of hashlib's
    with naming(file), file.open("rb") as handle:
        while chunk := handle.read(_CHUNK_BYTES):
            update(chunk)


@cache
def maker_digest() -> str:
    """Return the digest of all code, templates and assets that pages are made with."""
    digest = sha256()
    folder = Path(__file__).parent
    scoring = folder.parents[1] / "scoring"
    files = [STYLESHEET, *folder.rglob("*"), *scoring.rglob("*.py")]
    for file in sorted(file for file in files if file.is_file() and file.suffix != ".pyc"):
        digest.update(file.name.encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


@contextmanager
def opened_site(site: Path) -> Generator[SiteState]:
    """Hold a site for one run, and yield what it remembers.

    That is nothing if it is new, of another version, or damaged: then all pages are made anew. The folder
    is marked as a site before anything else is in it, so that a run that was killed can be repeated.

    Raises:
        AdapterError: The folder holds something else than a site, which must not be overwritten, or
            another run writes it.
    """
    file = site / STATE_FILE
    if not file.is_file() and site.exists() and (not site.is_dir() or any(site.iterdir())):
        raise AdapterError(f"{site} is not empty, and is not a site that cab report made")
    site.mkdir(parents=True, exist_ok=True)
    handle = os.open(site, os.O_RDONLY)
    try:
        if not lock_file(handle):
            raise AdapterError(f"another cab report writes {site}; wait for its end")
        if not file.is_file():
            write_state(site, SiteState([], []))
        yield _read_state(file)
    finally:
        os.close(handle)


def _read_state(file: Path) -> SiteState:
    header, *lines = file.read_bytes().splitlines() or [b""]
    found = SiteState([], [])
    try:
        if orjson.loads(header)["schema"] != _SCHEMA:
            return found
        for line in lines:
            data = cast("dict[str, Any]", orjson.loads(line))
            if "entries" in data:
                found.made.append(_made(data))
            else:
                found.comparisons.append(KeptComparison.of(data))
    except (ValueError, TypeError, KeyError, AttributeError):
        return SiteState([], [])
    return found


def _made(data: dict[str, Any]) -> MadePages:
    entries = [SiteEntry(**{**e, "result": e["result"].encode()}) for e in data["entries"]]
    return MadePages(data["digest"], entries)


def write_state(site: Path, state: SiteState) -> None:
    """Write what the next run needs."""
    lines = [orjson.dumps({"schema": _SCHEMA})]
    for each in state.made:
        entries = [{**asdict(entry), "result": entry.result.decode()} for entry in each.entries]
        lines.append(orjson.dumps({"digest": each.digest, "entries": entries}))
    lines += [orjson.dumps(each.as_dict()) for each in state.comparisons]
    write_whole(site / STATE_FILE, b"\n".join(lines) + b"\n")
