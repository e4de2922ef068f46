"""The parser of `cab-proxy`: one flag per setting, made from the settings' own fields."""

import argparse
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cab.proxy.cli.parser import CommandLineParser
from cab.proxy.config import SETTING_GROUPS, ProxySettings

PREFIX = "CAB_"
"""Of the environment variables that are settings."""

KEY_FILE_HELP = "file with the endpoint's key, instead of CAB_KEY"
KEY_FD_HELP = "number of an open descriptor, such as a pipe, with the endpoint's key"

_DESCRIPTION = """\
Meter every model call between coding agents and an OpenAI-compatible endpoint.

The proxy passes bytes on unchanged in both directions and writes an audit
record for each call. Agents get its address instead of the endpoint's; the
endpoint's key stays here.
"""

_EPILOG = """\
settings: each flag above is also an environment variable (CAB_PORT for --port)
and a key of the TOML file that --config or CAB_CONFIG names (port). A flag wins
over a variable, a variable over the file. Lists and tables (routes, paths) have
no flag: use the file, or a variable with JSON. docs/settings.md has the table.

secrets, which are never values of flags:
  CAB_KEY           key of the endpoint; if unset, the agents' own keys are passed on
  CAB_SIGNING_KEY   signs cell keys; if unset, the proxy keeps one in its state folder
  CAB_ADMIN_TOKEN   token of the control API's admin; if unset, there is no admin
  CAB_METRICS_TOKEN token that reads /cab/metrics, and nothing else
  PGPASSWORD        password of the database that --ship-to names, if no passfile has it

examples:
  cab-proxy --upstream demo                        a first look: no key, no network
  CAB_KEY=... cab-proxy --upstream https://host/v1
  cab-proxy --upstream URL --cell my-sweep/aider/gpt-5/polyglot/rust-error-handling

signals: SIGHUP reads settings and keys once more, without an end of calls in flight;
SIGINT and SIGTERM stop in order

exit codes: 0 done, 2 wrong usage or configuration
"""

_METAVARS = {
    "upstream": "URL",
    "ledger": "DIR",
    "state": "DIR",
    "cell": "ID",
    "to": "URL",
    "workers": "N",
    "env": "NAME",
    "s": "SECONDS",
}


def flag_of(setting: str) -> str:
    """Return the flag of a setting."""
    return f"--{setting.replace('_', '-')}"


def variable_of(setting: str) -> str:
    """Return the environment variable of a setting."""
    return f"{PREFIX}{setting.upper()}"


def make_parser() -> CommandLineParser:
    """Return the parser of `cab-proxy`; flags that were not given are absent from its result."""
    parser = CommandLineParser(
        prog="cab-proxy",
        usage="%(prog)s --upstream URL [options]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file with settings")
    parser.add_version()
    for flag, text in (
        ("--check-config", "say whether it would start and what it would do, and exit: 0 or 2"),
        ("--check-upstream", "the same, and ask the endpoints for their models, with their keys"),
    ):
        parser.add_argument(flag, action="store_true", help=text)
    key = parser.add_mutually_exclusive_group()
    key.add_argument("--key-file", type=Path, metavar="FILE", help=KEY_FILE_HELP)
    key.add_argument("--key-fd", type=int, metavar="N", help=KEY_FD_HELP)
    for title, names in SETTING_GROUPS.items():
        group = parser.add_argument_group(title)
        for name in names:
            field = ProxySettings.model_fields[name]
            if not is_nested(field):
                group.add_argument(flag_of(name), **_keywords(name, field))
    return parser


def is_nested(field: FieldInfo) -> bool:
    """Return whether a setting holds several values: it has no flag, and its variable holds JSON."""
    leaves = _leaves(field.annotation)
    return any(get_origin(leaf) in {list, dict} or _is_table(leaf) for leaf in leaves)


def _is_table(leaf: object) -> bool:
    return isinstance(leaf, type) and issubclass(leaf, BaseModel)


def default_text(field: FieldInfo) -> str | None:
    """Return the default of a setting as one would write it; None where it has none."""
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    if default is None or default is False or default in ([], {}) or isinstance(default, BaseModel):
        return None
    return f"{default:g}" if isinstance(default, float) else str(default)


def _keywords(name: str, field: FieldInfo) -> dict[str, Any]:
    """Return what argparse needs to know of a flag. Values stay texts: the settings' own check reads them."""
    default = default_text(field)
    text = (field.description or "").replace("%", "%%")
    help_text = f"{text} (default: {default})" if default else text
    if field.annotation is bool:
        return {"action": argparse.BooleanOptionalAction, "help": help_text}
    leaves = list(_leaves(field.annotation))
    choices = [leaf for leaf in leaves if isinstance(leaf, str)]
    if choices:
        return {"choices": choices, "help": help_text}
    last = name.rpartition("_")[2]
    kind = {"type": Path} if Path in leaves else {}
    return {"metavar": _METAVARS.get(last, last.upper()), "help": help_text, **kind}


def _leaves(annotation: Any) -> Iterator[Any]:  # noqa: ANN401 - whatever a field is annotated with
    """Yield the types, and the values of literals, that an annotation is made of."""
    if get_origin(annotation) in {Union, types.UnionType, Literal, Annotated}:
        for part in get_args(annotation):
            yield from _leaves(part)
    else:
        yield annotation
