"""Names of a capture's folders and files."""

import re
from hashlib import sha256
from pathlib import Path

FOLDER = "capture"
"""Name of the folder, in a ledger and in a bundle."""
LINES_SUFFIX = ".jsonl"
PARTS_SUFFIX = ".parts"
CELL_FOLDER = re.compile(r"[A-Za-z0-9_.-]{1,64}-[0-9a-f]{16}")
"""What a cell's folder is named; whatever has another name is no cell's."""
_LINES_FILE = re.compile(r"w([0-9]{1,6})\.jsonl")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_SLUG_CHARS = 64
_HEX_DIGITS = 16


def cell_folder_name(cell_id: str | None) -> str:
    """Return the name of a cell's folder: the end of its id as a slug, and hex digits of its SHA-256.

    Args:
        cell_id: The cell's id; None for the calls that belong to no cell.

    >>> cell_folder_name("local/aider/acme/demo-2/polyglot/python-cron#run1")
    'local-aider-acme-demo-2-polyglot-python-cron-run1-9542f43552aaa9aa'
    """
    text = cell_id or ""
    slug = _UNSAFE.sub("-", text).strip("-")[-_SLUG_CHARS:].strip("-") or "no-cell"
    # A cell's id is never empty, so calls without a cell have a digest of their own.
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{slug}-{digest[:_HEX_DIGITS]}"


def capture_folder(path: Path) -> Path | None:
    """Return the folder of a capture; None if there is none.

    Args:
        path: A ledger, a bundle, or the folder itself.
    """
    inner = path / FOLDER
    if inner.is_dir():
        return inner
    return path if path.name == FOLDER and path.is_dir() else None


def lines_file(folder: Path, writer: int) -> Path:
    """Return where a writer's lines stand.

    Args:
        folder: The cell's folder.
        writer: Number of the proxy's process, from 0.
    """
    return folder / f"w{writer}{LINES_SUFFIX}"


def parts_file(lines: Path) -> Path:
    """Return where the parts stand to which some lines refer."""
    return lines.with_suffix(PARTS_SUFFIX)


def lines_files(folder: Path) -> list[Path]:
    """Return the files of lines in a cell's folder, by the number of their writer.

    Raises:
        OSError: The folder cannot be listed.
    """
    found = [
        (int(match[1]), path)
        for path in folder.iterdir()
        if (match := _LINES_FILE.fullmatch(path.name))
    ]
    return [path for _, path in sorted(found)]


def cell_folders(folder: Path) -> list[Path]:
    """Return the folders of a capture's cells, by name; a link to a folder is none.

    Raises:
        OSError: The folder cannot be listed.
    """
    named = (path for path in folder.iterdir() if CELL_FOLDER.fullmatch(path.name))
    return sorted(path for path in named if path.is_dir() and not path.is_symlink())
