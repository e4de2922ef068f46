"""The files of an export: one, or a folder of them, in place when all of them are whole."""

from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from cab.adapters.errors import AdapterError
from cab.adapters.output.whole_file import partial_of, put_in_place


class Files:
    """Files that are written beside their place, as a context.

    `place` moves them to their place; they are removed if the block ends before.

    Args:
        path: The file, if its name ends in the suffix, else the folder of all files.
        suffix: How the names of files end, such as `.json`.
        holds: What one file holds, for the error.
    """

    def __init__(self, path: Path, suffix: str, holds: str) -> None:
        self._path = path
        self._suffix = suffix
        self._holds = holds
        self._files: dict[str, Path] = {}
        self._open: list[IO[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for handle in self._open:
            with suppress(OSError):  # a full disk was reported when it was met
                handle.close()
        for file in self._files.values():
            partial_of(file).unlink(missing_ok=True)

    def __len__(self) -> int:
        return len(self._files)

    def open(self, name: str) -> IO[bytes]:
        """Return a new file, opened for writing.

        Args:
            name: Path below the folder, without the suffix.

        Raises:
            AdapterError: The path is one file and this would be another, or it is a folder.
            OSError: It cannot be written.
        """
        handle = self._claim(name).open("wb")
        self._open.append(handle)
        return handle

    def append(self, name: str, data: bytes) -> None:
        """Add to the end of a file, which is made if it is new; errors as for `open`.

        It does not stay open: there may be more files than a process may hold open.
        """
        mode = "ab" if name in self._files else "wb"
        with self._claim(name).open(mode) as handle:
            handle.write(data)

    def place(self) -> None:
        """Move all files to their place."""
        for handle in self._open:
            handle.close()
        for file in self._files.values():
            put_in_place(file)

    def _claim(self, name: str) -> Path:
        file = self._file(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        self._files[name] = file
        return partial_of(file)

    def _file(self, name: str) -> Path:
        if self._path.suffix != self._suffix:
            return self._path / f"{name}{self._suffix}"
        if self._path.is_dir():
            raise AdapterError(f"{self._path} is a folder; give a file")
        other = next(iter(self._files), name)
        if other != name:
            raise AdapterError(
                f"{self._path} holds {self._holds}, and these cells are of {other} and {name}; "
                "give a folder, which takes a file of each"
            )
        return self._path
