"""Path patterns of tasks and agents, read the same way by every axis and by a task's own check.

A pattern means paths relative to the workspace, `/` between parts. `*`, `?` and `[...]` match
within a part, dots included; `**` matches any number of parts. A pattern that matches a folder
matches all that is in it, so `.aider*` covers `.aider.tags.cache.v4/cache.db`.
"""

import fnmatch
import re
from collections.abc import Iterable
from functools import lru_cache


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Return whether a path is matched by at least one of the patterns.

    >>> matches("src/a/b.py", ["src/**/*.py"]), matches("a/b.py", ["*.py"])
    (True, False)
    """
    parts = tuple(path.split("/"))
    return any(_match(_parts(pattern), parts) for pattern in patterns)


def select(paths: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """Return the paths that at least one pattern matches, in the order given."""
    known = tuple(patterns)
    return [path for path in paths if matches(path, known)]


@lru_cache(maxsize=4096)
def _parts(pattern: str) -> tuple[str, ...]:
    return tuple(part for part in pattern.removeprefix("./").split("/") if part)


@lru_cache(maxsize=4096)
def _part_regex(part: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(part))


def _match(pattern: tuple[str, ...], path: tuple[str, ...]) -> bool:
    """Walk the pattern once, keeping every number of path parts that it can have used so far.

    A set of positions instead of backtracking: no pattern costs more than its length times the
    path's, whoever wrote it.
    """
    if not pattern:
        return False
    used = {0}
    for number, part in enumerate(pattern, start=1):
        if part == "**":
            # A last `**` means what is in the folder, not for the folder itself.
            least = min(used) + (number == len(pattern))
            used = set(range(least, len(path) + 1))
        else:
            regex = _part_regex(part)
            used = {at + 1 for at in used if at < len(path) and regex.match(path[at])}
        if not used:
            return False
    return True
