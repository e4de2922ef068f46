"""aider's leaderboard: a YAML list of whole runs of its benchmark.

A row is a rate over all exercises, not the outcome of one: its cell has no verdict, and the rate of the
last try is its partial score. It is read with PyYAML, as texts alone: YAML would take a commit for a number.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from cab.scoring.errors import BadRecord
from cab.scoring.files import is_list, is_object
from cab.scoring.imports.model import ImportedCell, Origin, OwnCount
from cab.scoring.imports.reading.cell_ids import FieldNames, make_cell_id
from cab.scoring.imports.reading.input_file import FileRow, InputFile
from cab.scoring.imports.reading.values import sum_known, usd

if TYPE_CHECKING:
    from types import ModuleType

MAX_YAML_BYTES: Final = 4 << 20
"""A YAML reader takes some seconds for a megabyte; the largest of aider's files has a tenth of one."""

_TUI = "aider"
_FAMILY = "aider-benchmark"
_FIRST = re.compile(rb"(?m)^-[ ]{1,8}dirname:[ ]")
_HEAD_BYTES = 1 << 16
_MARKS = (b"\n  model:", b"\n  pass_rate_1:", b"\n  test_cases:")
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?")
_MOST_TRIES = 9


def is_leaderboard(text: bytes) -> bool:
    """Return whether a text looks like such a list."""
    head = text[:_HEAD_BYTES]
    return _FIRST.search(head) is not None and all(mark in head for mark in _MARKS)


def leaderboard_of(text: bytes, source: InputFile) -> list[ImportedCell]:
    """Return one cell per row, in the order of the file.

    Raises:
        BadRecord: PyYAML is missing, the text is no YAML, is too large, or has no row that can be read.
    """
    if len(text) > MAX_YAML_BYTES:
        raise BadRecord(
            str(source.path), None, f"is over the limit of {MAX_YAML_BYTES} bytes of YAML"
        )
    return source.cells(_rows(text, source), _cell)


def _rows(text: bytes, source: InputFile) -> Iterator[FileRow]:
    yaml: Any = _yaml(source)
    loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        decoded = text.decode(errors="replace")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(decoded, loader)):
            raise BadRecord(str(source.path), None, "has aliases, which no leaderboard has")
        data = yaml.load(decoded, loader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if isinstance(error, BadRecord):
            raise
        mark = getattr(error, "problem_mark", None)
        what = f"not valid YAML: {getattr(error, 'problem', None) or 'it is nested too deeply'}"
        raise BadRecord(str(source.path), mark and mark.line + 1, what) from error
    for number, each in enumerate(data if is_list(data) else ()):
        yield FileRow(each, str(number))


def _cell(row: FileRow, source: InputFile) -> ImportedCell:
    if not is_object(row.data):
        raise BadRecord(str(source.path), None, "is not an object", field=row.at)
    data = row.data
    name = _text(data, "dirname")
    if name is None:
        raise BadRecord(str(source.path), None, "is missing", field=f"{row.at}.dirname")
    tries = [number for number in range(1, _MOST_TRIES + 1) if f"pass_rate_{number}" in data]
    rate = _number(data, f"pass_rate_{tries[-1]}", row, source) if tries else None
    if rate is not None and rate > 100:
        source.note("is more than 100 percent: unknown", field=f"{row.at}.pass_rate_{tries[-1]}")
        rate = None
    cases = _count(data, "test_cases", row, source)
    names = FieldNames(_TUI, _text(data, "model"), _FAMILY, f"{cases or 'unknown'}-exercises", name)
    return ImportedCell(
        cell_id=make_cell_id(names, source.path),
        origin=Origin(
            form="aider.leaderboard", version=_text(data, "versions"), name=name, verdicts=False
        ),
        passed=None,
        partial_score=None if rate is None else float(Decimal(str(rate)) / 100),
        reason=_reason(rate, tries, cases),
        self_reported=_own_count(row, source),
    )


def _reason(rate: float | None, tries: list[int], cases: int | None) -> str:
    of = "an unknown number of exercises" if cases is None else f"{cases} exercises"
    share = "an unknown share" if rate is None else f"{rate:g} percent"
    return f"{share} of {of} passed at try {tries[-1] if tries else '?'}; a rate is no verdict"


def _own_count(row: FileRow, source: InputFile) -> OwnCount | None:
    """Return the sums over all exercises; a cost of 0 is what aider writes without a price."""
    data = row.data if is_object(row.data) else {}
    prompt = _count(data, "prompt_tokens", row, source) or None
    completion = _count(data, "completion_tokens", row, source) or None
    cost = _number(data, "total_cost", row, source)
    if prompt is None and completion is None and cost is None:
        return None
    return OwnCount(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=sum_known([prompt, completion]),
        cost_usd=usd(cost, source.path, f"{row.at}.total_cost"),
    )


def _text(data: Mapping[str, object], key: str) -> str | None:
    found = data.get(key)
    return found if isinstance(found, str) and found else None


def _number(data: Mapping[str, object], key: str, row: FileRow, source: InputFile) -> float | None:
    text = _text(data, key)
    if text is None:
        return None
    if not _NUMBER.fullmatch(text):
        source.note("is not a number: unknown", field=f"{row.at}.{key}")
        return None
    return float(text)


def _count(data: Mapping[str, object], key: str, row: FileRow, source: InputFile) -> int | None:
    number = _number(data, key, row, source)
    return int(number) if number is not None and number.is_integer() and number <= 10**12 else None


def _yaml(source: InputFile) -> "ModuleType":
    try:
        import yaml  # noqa: PLC0415 - only who reads a leaderboard needs it
    except ImportError as error:
        what = "is YAML; to read it, run: pip install 'coding-agent-bench[yaml]'"
        raise BadRecord(str(source.path), None, what) from error
    return yaml
