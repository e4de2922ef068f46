"""Errors of the scoring library.

ScoringError(ValueError)
├── BadRecord       a line of a ledger or slice, or a file of a bundle, does not hold what it must
├── BadCellId       a cell id is not <sweep>/<tui>/<model>/<family>/<task>[#runN]
├── BadObservation  data of a cell contradict one another, or are not of the kind that they must be
├── BadSealKey      a key that cannot sign or check seals
├── TooFewRuns      a statistic is not defined on so few; `.runs`, `.needed`
└── UnknownProfile  no profile of that name
"""


class ScoringError(ValueError):
    """Base of all errors that `cab.scoring` raises on bad input."""


class BadRecord(ScoringError):
    """A record that cannot be read; says which file, line and field."""

    def __init__(self, path: str, line: int | None, reason: str, field: str | None = None) -> None:
        where = path if line is None else f"{path}:{line}"
        what = reason if field is None else f"{field}: {reason}"
        super().__init__(f"{where}: {what}")
        self.path = path
        self.line = line
        self.field = field
        self.reason = reason


class BadCellId(ScoringError):
    """A text that is not a cell id."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(
            f"cell id {text!r}: {reason}; it is <sweep>/<tui>/<model>/<family>/<task>[#runN]"
        )
        self.text = text


class BadObservation(ScoringError):
    """Data of a cell that cannot be used; says which cell and field, if it is one field."""

    def __init__(self, cell: str | None, field: str | None, reason: str) -> None:
        parts = [part for part in (cell, field) if part is not None]
        super().__init__(f"{': '.join(parts)} {reason}" if parts else reason)
        self.cell = cell
        self.field = field
        self.reason = reason


class BadSealKey(ScoringError):
    """A key that cannot be used for seals; says why, and shows nothing of it."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"key {name} {reason}")
        self.name = name
        self.reason = reason


class UnknownProfile(ScoringError):
    """A profile name that is not known."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(f"profile {name!r} is unknown; known profiles: {', '.join(known)}")
        self.name = name
        self.known = known


class TooFewRuns(ScoringError):
    """A statistic that is not defined on what there is.

    Args:
        runs: How many there are.
        needed: How many there must be.
        what: What asked for them.
        unit: What is counted: runs, tasks, pairs, draws.
    """

    def __init__(self, runs: int, needed: int, what: str, unit: str = "run") -> None:
        plural = "" if needed == 1 else "s"
        super().__init__(f"{what} needs {needed} {unit}{plural} or more; there {_are(runs)}")
        self.runs = runs
        self.needed = needed


def _are(count: int) -> str:
    return "is 1" if count == 1 else f"are {count}"
