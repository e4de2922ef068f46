"""`cab export`: cells and their calls in the formats of other tools."""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from cab.adapters.commands.export.files import Files
from cab.adapters.commands.export.sinks import (
    InspectSink,
    OnFault,
    Sink,
    TextSink,
    group_of,
    parquet_sink,
)
from cab.adapters.commands.lake.cells import add_cells
from cab.adapters.commands.lake.state import open_lake
from cab.adapters.errors import AdapterError
from cab.adapters.ui.cell_inputs import scored_cells
from cab.adapters.ui.command import Option
from cab.adapters.ui.messages_option import MESSAGES_OPTION, say_what_is_not_shown
from cab.adapters.ui.progress import complain, progress
from cab.scoring.cells.bundle import CELL_FILE, MARKER_FILE
from cab.scoring.errors import ScoringError
from cab.scoring.evidence.messages.captured import CapturedMessages
from cab.scoring.evidence.messages.model import SaidCall
from cab.scoring.exports import cell_line
from cab.scoring.exports.atif import trajectory
from cab.scoring.exports.otel import CONVENTIONS, spans_line
from cab.scoring.exports.source import Source, source_of
from cab.scoring.exports.swebench import prediction
from cab.scoring.ledger.reading import iter_calls, segment_files
from cab.scoring.ledger.records import CallEnd
from cab.scoring.ledger.segments import COMPRESSED_SUFFIX, PLAIN_SUFFIX
from cab.scoring.ledger.totals import is_model_call
from cab.scoring.printable import counted, printable
from cab.scoring.profiles.builtin import DEFAULT_PROFILE
from cab.scoring.score import ScoredCell

DESCRIPTION = """\
Write cells, or their calls, in the formats of other tools. Cells are scored
again on the way, offline. docs/formats.md says what each format holds, and what
is lost.
"""

_NAMES = 20  # of files in one message
_OTEL = "otel"  # has a line per call, not per cell
_LAKE = "lake"  # is added to, not replaced

EPILOG = f"""\
formats:
  cell      CAB's own cell.json, one line per cell, in the file PATH
  parquet   a table with one row per cell, in the file PATH; needs the extra
            parquet
  lake      the same rows in the table `cells` of a lake, the folder PATH: cells
            that are new are added, changed ones replaced; see docs/lake.md
  inspect   Inspect logs, one per sweep, agent and model: PATH is one log if it
            ends in .eval, else a folder of logs
  swebench  SWE-bench predictions, one file per sweep, agent, model and run: one
            file if PATH ends in .jsonl, else a folder
  atif      trajectories of Harbor, ATIF 1.7, one per cell: one file if PATH
            ends in .json, else a folder
  otel      a span of OpenTelemetry per model call, as OTLP JSON, one per line, with
            the attribute names of semantic conventions {CONVENTIONS}, in the file PATH; a
            RUN may also be a ledger

inspect, atif and otel hold what was said in the calls, if it was kept, only
with --messages: prompts hold whatever the agent read.

exit codes: 0 done, 2 wrong usage, or a cell that cannot be written, or messages
that cannot be read (all others are written)

examples:
  cab export inspect runs -o logs
  cab export swebench runs/my-sweep/aider/my-model/swebench -o predictions.jsonl
  cab export otel cab-ledger -o calls.jsonl
"""


class _Format(NamedTuple):
    """Which files a format has, and what writes them."""

    suffix: str | None
    """Of the file that PATH may be instead of a folder; None if it is always a file."""
    holds: str
    """What one such file holds."""
    sink: Callable[[Files, OnFault | None], Sink]
    """What takes the cells; None: without the messages of their calls."""
    holds_messages: bool = False
    """Whether the format has a place for them."""


def run(args: argparse.Namespace) -> int:
    """Write what the arguments ask for; return the exit code.

    Raises:
        AdapterError: PATH is one file and must be a folder, or a package is missing.
        BadRecord: A ledger cannot be read.
        OSError: A file cannot be written.
    """
    output: Path = args.output
    export = _Export(args.runs, with_messages=args.messages)
    if args.messages and args.format != _OTEL and not _holds_messages(args.format):
        raise AdapterError(f"{args.format} has no place for messages; leave --messages out")
    if args.format == _LAKE:
        return _add_to_lake(args.runs, output)
    with progress(f"writing {printable(str(output))}", sys.stderr):
        if args.format == _OTEL:
            files, unit = export.calls(output), "call"
        else:
            files, unit = export.cells(output, _FORMATS[args.format]), "cell"
    if not args.messages:
        export.say_what_is_left_out()
    where = "" if files < 2 else f" in {files} files"
    if files:
        print(f"{printable(str(output))}: {counted(export.count, unit)}{where}")
    return 2 if export.failed else 0


def _holds_messages(name: str) -> bool:
    return name != _LAKE and _FORMATS[name].holds_messages


def _add_to_lake(runs: Iterable[Path], output: Path) -> int:
    failed: list[ScoringError] = []

    def report(error: ScoringError) -> None:
        failed.append(error)
        complain(str(error))

    with progress(f"adding to {printable(str(output))}", sys.stderr), open_lake(output) as lake:
        done = add_cells(lake, runs, report)
    replaced = f", {done.replaced:,} replaced" if done.replaced else ""
    print(f"{printable(str(output))}: {counted(done.added, 'new cell')}{replaced}")
    return 2 if failed else 0


class _Export:
    """One run of the command, and its result so far."""

    def __init__(self, runs: Iterable[Path], *, with_messages: bool) -> None:
        self._runs = runs
        self._with_messages = with_messages
        self._paths: list[Path] = []
        self._seen: set[tuple[Path, str, str | None]] = set()
        self.count = 0
        self.failed = False

    def cells(self, output: Path, form: _Format) -> int:
        """Write cells; return the number of files."""
        suffix = output.suffix if form.suffix is None else form.suffix
        with Files(output, suffix, form.holds) as files, self._sink(form, files) as sink:
            for scored in self._cells(self._runs):
                self._try(sink.add, scored)
            if not self.count:
                return 0
            sink.finish()
            files.place()
            return len(files)

    def calls(self, output: Path) -> int:
        """Write calls; return the number of files."""
        with Files(output, output.suffix, "") as files:
            handle = files.open("calls")
            for path in self._runs:
                for call, said in self._calls(path):
                    handle.write(_json(spans_line(call, said)))
                    self.count += 1
            if self.failed and not self.count:
                return 0
            files.place()
            return len(files)

    def say_what_is_left_out(self) -> None:
        """Say how many of what was read has messages that were not asked for."""
        say_what_is_not_shown(self._paths)

    def _sink(self, form: _Format, files: Files) -> closing[Sink]:
        return closing(form.sink(files, self._report if self._with_messages else None))

    def _calls(self, path: Path) -> Iterator[tuple[CallEnd, SaidCall | None]]:
        """Yield calls, each with what was said in it, if that is asked for and known."""
        if _is_ledger(path):
            self._paths.append(path)
            calls = (call for call in iter_calls(path) if is_model_call(call))
            yield from self._said(path, calls)
            return
        for scored in self._cells([path]):
            try:
                found = [call for call in source_of(scored).calls() if isinstance(call, CallEnd)]
            except ScoringError as error:
                self._report(error)
            else:
                yield from self._said(scored.path, found)

    def _said(
        self, path: Path, calls: Iterable[CallEnd]
    ) -> Iterator[tuple[CallEnd, SaidCall | None]]:
        captured = None
        if self._with_messages and path.is_dir():
            captured = CapturedMessages(path, on_fault=self._report)
        yield from ((call, captured.said(call.call_id) if captured else None) for call in calls)

    def _cells(self, paths: Iterable[Path]) -> Iterator[ScoredCell]:
        """Yield the cells below some paths; each once, even if two paths hold it."""
        for scored in scored_cells(paths, DEFAULT_PROFILE, self._report):
            name = None if scored.imported is None else scored.imported.origin.name
            cell = scored.path.resolve(), scored.cell_id, name
            if cell not in self._seen:
                self._seen.add(cell)
                self._paths.append(scored.path)
                yield scored

    def _try(self, add_cell: Callable[[ScoredCell], None], scored: ScoredCell) -> None:
        try:
            add_cell(scored)
        except ScoringError as error:
            self._report(error)
        else:
            self.count += 1

    def _report(self, error: ScoringError) -> None:
        self.failed = True
        complain(str(error))


def _is_ledger(path: Path) -> bool:
    """Return whether a path is a ledger, or a file of one, and not cells."""
    if path.is_dir():
        bundle = any((path / name).exists() for name in (CELL_FILE, MARKER_FILE))
        return not bundle and bool(segment_files(path))
    return path.name.endswith((PLAIN_SUFFIX, COMPRESSED_SUFFIX))


def _lines(files: Files, _on_fault: OnFault | None) -> Sink:
    return TextSink(files, lambda source: cell_line(source.cell))


def _table(files: Files, _on_fault: OnFault | None) -> Sink:
    return parquet_sink(files)


def _logs(files: Files, on_fault: OnFault | None) -> Sink:
    return InspectSink(files, on_fault)


def _trajectories(files: Files, on_fault: OnFault | None) -> Sink:
    def made(source: Source) -> bytes:
        captured = source.messages(on_fault) if on_fault else None
        return _json(trajectory(source, captured), orjson.OPT_INDENT_2)

    return TextSink(
        files,
        made,
        lambda source: str(source.cell_id),
        lambda source: str(source.cell_id),
    )


def _predictions(files: Files, _on_fault: OnFault | None) -> Sink:
    return TextSink(
        files,
        _prediction_line,
        _group_and_run,
        # The harness would silently take the last of several predictions of one instance.
        lambda source: source.cell_id.task,
    )


def _prediction_line(source: Source) -> bytes:
    line, left_out = prediction(source)
    if left_out:
        names = ", ".join(left_out[:_NAMES]) + (" ..." if len(left_out) > _NAMES else "")
        complain(f"{source.cell_id}: not in the prediction: {names} ({len(left_out)} in all)")
    return _json(line)


def _group_and_run(source: Source) -> str:
    run_number = source.cell_id.run
    return group_of(source) + ("" if run_number is None else f".run{run_number}")


def _json(data: dict[str, Any], options: int = 0) -> bytes:
    return orjson.dumps(data, option=options | orjson.OPT_APPEND_NEWLINE)


_FORMATS = {
    "cell": _Format(None, "", _lines),
    "parquet": _Format(None, "", _table),
    "inspect": _Format(".eval", "one log", _logs, holds_messages=True),
    "swebench": _Format(".jsonl", "the predictions of one run", _predictions),
    "atif": _Format(".json", "one trajectory", _trajectories, holds_messages=True),
}

OPTIONS = (
    Option("format", choices=[*_FORMATS, _OTEL, _LAKE], metavar="FORMAT", help="see below"),
    Option(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="a bundle, a cell.json, or a folder of bundles",
    ),
    Option(
        *("-o", "--output"),
        required=True,
        type=Path,
        metavar="PATH",
        help="file or folder; an existing file is replaced",
    ),
    MESSAGES_OPTION,
)
