"""The reference pages are made from the code: docs/settings.md from the settings, docs/cli.md from the parsers,
the edge cases and fields in docs/statistics.md from what the statistics give and from their classes, what is in
docs/reference/ from the JSON Schemas of records and cells and from the OpenAPI document."""

import argparse
import os
import re
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from cab import scoring
from cab.adapters.cli import make_parser
from cab.proxy.cli.flags import default_text, flag_of, is_nested, variable_of
from cab.proxy.cli.parser import CommandLineParser, shown_default
from cab.proxy.config import SETTING_GROUPS, ProxySettings, Route
from cab.proxy.control.metrics.table import METRICS
from cab.scoring.exports.schema import json_schema
from cab.scoring.introspection.field_texts import field_texts
from tests.scoring.analysis.edge_cases import edge_case_table
from tests.tools.schema_tables import (
    merged_table,
    object_sections,
    object_table,
    request_sections,
    row,
)

DOCS = Path(__file__).parents[1] / "docs"
OPENAPI = Path(__file__).parents[1] / "proxy" / "control" / "openapi.json"


def settings_tables() -> Iterator[str]:
    """Yield the lines of the tables of all settings, group by group."""
    for title, names in SETTING_GROUPS.items():
        yield from (f"## {title[0].upper()}{title[1:]}", "")
        yield row("key in the file", "flag", "variable", "default", "meaning")
        yield "|---|---|---|---|---|"
        for name in names:
            field = ProxySettings.model_fields[name]
            flag = "" if is_nested(field) else f"`{flag_of(name)}`"
            variable = f"`{variable_of(name)}`" + (" (JSON)" if is_nested(field) else "")
            default = default_text(field)
            if field.is_required():
                default = "none: must be given"
            yield row(
                f"`{name}`",
                flag,
                variable,
                default or ("false" if field.annotation is bool else "unset"),
                field.description or "",
            )
        yield ""


def route_table() -> Iterator[str]:
    """Yield the lines of the table of a route's keys."""
    yield row("key", "default", "meaning")
    yield "|---|---|---|"
    for name, field in Route.model_fields.items():
        default = "none: must be given" if field.is_required() else default_text(field) or "unset"
        yield row(f"`{name}`", default, field.description or "")


def command_sections() -> Iterator[str]:
    """Yield the lines of all commands of `cab`, each with its options."""
    for parser in make_parser(None).with_subparsers():
        if parser.prog != "cab":
            yield from section(parser)


def section(parser: CommandLineParser) -> Iterator[str]:
    level = "##" if parser.prog.count(" ") == 1 else "###"
    yield from (f"{level} {parser.prog}", "", (parser.description or "").strip(), "")
    shown = [action for action in parser.actions if action.dest != "help"]
    if parser.subparsers:
        yield from (f"Commands: {', '.join(f'`{name}`' for name in parser.subparsers)}.", "")
    else:
        yield row("option", "meaning")
        yield "|---|---|"
        for action in shown:
            default = shown_default(action)
            text = f"{action.help} ({default})" if default else f"{action.help}"
            yield row(f"`{usage_of(action)}`", text.replace("%%", "%"))
        yield ""
    if parser.epilog:
        yield from ("```text", parser.epilog.strip(), "```", "")


def usage_of(action: argparse.Action) -> str:
    """Return an option as one types it."""
    value = action.metavar or "|".join(map(str, action.choices or ())) or action.dest.upper()
    if not action.option_strings:
        return str(value)
    return ", ".join(action.option_strings) + ("" if action.nargs == 0 else f" {value}")


def field_tables() -> Iterator[str]:
    """Yield the lines of the tables of the fields of what statistics take and give."""
    for owner in ANALYSED:
        what = (owner.__doc__ or "").partition("\n")[0]
        yield from (
            f"### {owner.__name__}",
            "",
            what,
            "",
            row("field", "type", "default", "meaning"),
        )
        yield "|---|---|---|---|"
        for field in field_texts(owner):
            default = "" if field.default is None else f"`{field.default}`"
            yield row(f"`{field.name}`", f"`{field.type}`", default, " ".join(field.text.split()))
        yield ""


ANALYSED = (
    *(scoring.Observation, scoring.SelfCount, scoring.Settings, scoring.Figure),
    *(scoring.Aggregate, scoring.OfK, scoring.Comparison),
    *(scoring.CellReconciliation, scoring.Discrepancy),
    *(scoring.Reconciliation, scoring.CounterError),
)


def metric_table() -> Iterator[str]:
    """Yield the lines of the table of all metrics."""
    yield row("metric", "kind", "labels", "meaning")
    yield "|---|---|---|---|"
    for name, metric in METRICS.items():
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        yield row(f"`{name}`", metric.kind, labels, metric.text)


def record_tables() -> Iterator[str]:
    """Yield the lines of the tables of a ledger's records, and of their seals."""
    start, end = json_schema("call-start-1"), json_schema("call-end-1")
    yield from ("## A call: START and END", "", *merged_table({"start": start, "end": end}))
    yield from object_sections(end)
    for name, title in (("cell-open-1", "The opening of a cell"), ("seal-3", "A seal")):
        schema = json_schema(name)
        yield from (f"## {title}", "", schema["description"], "")
        yield from (*object_table(schema), *object_sections(schema))


def cell_tables() -> Iterator[str]:
    """Yield the lines of the tables of `cell.json`."""
    schema = json_schema("cell-1")
    yield from ("## Cell", "", schema["description"], "", *object_table(schema))
    yield from object_sections(schema)


def control_requests() -> Iterator[str]:
    """Yield the lines of the control API's requests."""
    yield from request_sections(orjson.loads(OPENAPI.read_bytes()))


PAGES = {
    ("reference/record-fields.md", "records"): record_tables,
    ("reference/cell-fields.md", "cell"): cell_tables,
    ("reference/control-requests.md", "requests"): control_requests,
    ("metrics.md", "metrics"): metric_table,
    ("settings.md", "settings"): settings_tables,
    ("settings.md", "route"): route_table,
    ("cli.md", "commands"): command_sections,
    ("statistics.md", "edge cases"): edge_case_table,
    ("statistics.md", "fields"): field_tables,
}


@pytest.mark.parametrize(("page", "part"), PAGES)
def test_reference(page: str, part: str) -> None:
    """Each part of a page that is made from the code is what the code says now (make reference)."""
    file, made = DOCS / page, "\n".join(PAGES[page, part]()).strip()
    begin, end = f"<!-- begin: {part} (made by make reference) -->\n", f"<!-- end: {part} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    text = file.read_text(encoding="utf-8")
    expected = pattern.sub(lambda _: f"{begin}\n{made}\n\n{end}", text)
    if os.environ.get("CAB_WRITE_REFERENCE"):
        file.write_text(expected, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == expected


def test_every_setting_is_on_the_page_once() -> None:
    """The page names each setting, its flag and its variable."""
    text = (DOCS / "settings.md").read_text(encoding="utf-8")
    for name, field in ProxySettings.model_fields.items():
        assert text.count(f"| `{variable_of(name)}`") == 1
        assert is_nested(field) or f"| `{flag_of(name)}` |" in text


def test_every_command_is_on_the_page() -> None:
    """The page has a heading for each command, and a row for each option."""
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    for parser in make_parser(None).with_subparsers():
        assert parser.prog == "cab" or f"# {parser.prog}\n" in text
        for action in parser.actions:
            assert all(
                name in text
                for name in action.option_strings
                if name not in {"-h", "--help", "--version"}
            )
