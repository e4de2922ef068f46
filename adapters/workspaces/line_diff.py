"""Unified diffs of lines, in bounded time: some pairs of files would take hours."""

import difflib
import time
from threading import Event

from cab.adapters.workspaces.walk import WalkStopped

FILE_S = 5.0
"""Time for one file."""
LOOKUPS = 5_000_000
"""Pairs of equal lines in one search for the longest common part: the search cannot be interrupted."""

_CONTEXT = 3  # lines around a change, as git has it


class DiffTooLong(Exception):
    """The lines of two files cannot be compared in time."""


class LineDiff:
    """Compares files until the time for all of them is over.

    Args:
        time_s: Seconds from now.
        stop: Ends the work when it is set.
    """

    def __init__(self, time_s: float, stop: Event | None = None) -> None:
        self._end_s = time.monotonic() + time_s
        self._stop = stop or Event()

    def unified(self, old: list[str], new: list[str], name_old: str, name_new: str) -> list[str]:
        """Return the lines of a unified diff; a line that has no line feed stays so.

        Args:
            old: Lines, each with its ending.
            new: The same of the other side.
            name_old: What stands after `---`.
            name_new: What stands after `+++`.

        Raises:
            DiffTooLong: It takes too long.
            WalkStopped: Somebody asked for it.
        """
        matcher = _Matcher(old, new, min(self._end_s, time.monotonic() + FILE_S), self._stop)
        lines = [f"--- {name_old}\n", f"+++ {name_new}\n"]
        for group in matcher.get_grouped_opcodes(_CONTEXT):
            (_, old_from, _, new_from, _), (_, _, old_to, _, new_to) = group[0], group[-1]
            lines.append(f"@@ -{_range(old_from, old_to)} +{_range(new_from, new_to)} @@\n")
            for tag, i, i_end, j, j_end in group:
                if tag == "equal":
                    lines += [f" {line}" for line in old[i:i_end]]
                    continue
                lines += [f"-{line}" for line in old[i:i_end]]
                lines += [f"+{line}" for line in new[j:j_end]]
        return lines


def _range(start: int, stop: int) -> str:
    length = stop - start
    if length == 1:
        return str(start + 1)
    return f"{start + (length > 0)},{length}"


class _Matcher(difflib.SequenceMatcher[str]):
    b2j: dict[str, list[int]]
    """Line -> where it is in `new`; very frequent lines are not in it."""

    def __init__(self, old: list[str], new: list[str], end_s: float, stop: Event) -> None:
        super().__init__(None, old, new)
        self._end_s = end_s
        self._stop = stop
        if sum(len(self.b2j.get(line, ())) for line in old) > LOOKUPS:
            raise DiffTooLong

    def find_longest_match(
        self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None
    ) -> difflib.Match:
        """Return the longest common part; this is asked again and again."""
        if self._stop.is_set():
            raise WalkStopped
        if time.monotonic() > self._end_s:
            raise DiffTooLong
        return super().find_longest_match(alo, ahi, blo, bhi)
