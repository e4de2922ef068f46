"""`cab keys`: creates and revokes the keys that agents get."""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, get_args

from cab.adapters.errors import AdapterError
from cab.adapters.ui.command import Command, OneOf, Option, OptionGroup
from cab.adapters.ui.control_option import CONTROL, CONTROL_HELP, control_address
from cab.adapters.ui.json_lines import print_json
from cab.adapters.ui.layout import Column
from cab.adapters.ui.options import JSON, duration_s
from cab.adapters.ui.tables import ResultTable, write
from cab.proxy.accounting.limits import WINDOW_LIMITS, KeyLimits, OnUnknown
from cab.proxy.accounting.windows import MINUTE, PERIODS
from cab.proxy.auth import cell_keys
from cab.proxy.auth.key_register import KeyRegister
from cab.proxy.auth.revocations import Revocations
from cab.proxy.auth.signing_keys import FILE_NAME as SIGNING_KEY_NAME
from cab.proxy.auth.signing_keys import KeyRing, load_signing_keys, parse_signing_keys
from cab.proxy.config import state_beside
from cab.proxy.control.client import ControlClient
from cab.proxy.control.schemas import key_view, mint_request
from cab.scoring.printable import printable

_STDIN = "-"
_Answer = TypeVar("_Answer")

_MINT_EPILOG = f"""\
Standard output holds the key and nothing else; with --json, both keys of the cell. An agent makes calls
with one of them; the other, --scope seal, seals the cell and stays with whoever runs the agent. Every
proxy with the same signing key accepts them.
Without a proxy to ask (--proxy, --control, CAB_CONTROL), or with --signing-key-file, the key is
created here. It is then in the list of cab keys list if the state folder is known: by --ledger or
--state, or because the signing key is the one that a proxy keeps there.

environment:
  CAB_SIGNING_KEY  signs the key; or --signing-key-file
  CAB_ADMIN_TOKEN  with --proxy or --control: the admin token of that proxy, which then creates the key
{CONTROL_HELP}
examples:
  export OPENAI_API_KEY=$(cab keys mint --cell my-sweep/aider/gpt-5/polyglot/rust-error-handling --ttl 24h)
  cab keys mint --cell ID --ttl 2h --max-calls 200 --max-cost-usd 2.50 --json
  cab keys mint --cell ID --ttl 30d --max-calls-per-minute 60 --max-cost-usd-per-day 20 --share 1/3
"""

_REVOKE_EPILOG = f"""\
Without a proxy to ask (--proxy, --control, CAB_CONTROL), or with --ledger or --state, the revocation
is written into the state folder. All proxies that use the folder see it at once.

environment:
  CAB_ADMIN_TOKEN  with --proxy or --control: the admin token of that proxy, which then revokes the key
{CONTROL_HELP}
examples:
  cab keys revoke --jti 41f0c7a9d2b35e68
  cab keys revoke - < key.txt
  cab keys revoke --cell my-sweep/aider/gpt-5/polyglot/rust-error-handling --proxy http://host:31415
"""


_LIST_EPILOG = f"""\
A key is listed if a proxy, or cab keys mint, has minted it in this state folder. Keys that were minted
elsewhere with the same signing key are valid too, and not in the list.

environment:
  CAB_ADMIN_TOKEN  with --proxy or --control: the admin token of that proxy
{CONTROL_HELP}
examples:
  cab keys list --ledger cab-ledger --valid
  cab keys list --cell my-sweep/ --proxy http://host:31415 --json
"""


def run_mint(args: argparse.Namespace) -> int:
    """Make a key and print it; return the exit code.

    Raises:
        AdapterError: There is nothing to sign with.
        CabProxyError: The proxy does not make the key.
    """
    limits = KeyLimits(
        args.max_calls,
        args.max_tokens,
        args.max_cost_usd,
        args.max_concurrency,
        args.on_unknown,
        tuple(args.model) if args.model else None,
        **{name: getattr(args, name) for name, _, _ in WINDOW_LIMITS},
        share=args.share,
    )
    address = _proxy(args, local=args.signing_key_file is not None)
    if address is not None:
        minted = _ask(address, lambda control: control.mint(args.cell, args.ttl, limits))
    else:
        ring, now_s = _ring(args.signing_key_file), int(time.time())
        wanted = mint_request(args.cell, args.ttl, limits)  # the rules of the control API
        values = wanted.cell_id, wanted.ttl_s, now_s, wanted.limits()
        folder = _folder_of(args)
        if folder is None:
            keys = cell_keys.mint_both(ring, *values)
        else:
            keys = KeyRegister(ring, Revocations(folder)).mint_both(*values)
        minted = key_view(ring, keys)
    if args.json:
        print_json(minted)
        return 0
    name = "seal_key" if args.scope == "seal" else "key"
    print(printable(minted[name]))
    what = f"key {minted[f'{name}_id']}, valid until {minted['expires_at']}"
    print(printable(what), file=sys.stderr)
    return 0


def _folder_of(args: argparse.Namespace) -> Path | None:
    """Return the state folder of the proxy that a key is for; None if it is not known."""
    if args.state is not None or args.ledger is not None:
        return _state_folder(args)
    file: Path | None = args.signing_key_file
    return file.parent if file is not None and file.name == SIGNING_KEY_NAME else None


def _ring(file: Path | None) -> KeyRing:
    if file is not None:
        return load_signing_keys(file)
    text = os.environ.get("CAB_SIGNING_KEY")
    if not text:
        raise AdapterError(
            "nothing to sign with; set CAB_SIGNING_KEY, give --signing-key-file FILE (a proxy keeps "
            "its own as signing.key in its state folder), or ask a proxy with --proxy URL"
        )
    return parse_signing_keys(text)


def run_revoke(args: argparse.Namespace) -> int:
    """Revoke a key or a cell's keys; return the exit code.

    Raises:
        AdapterError: The proxy's admin token is not set, or there is no state folder.
        CabProxyError: What is given is not a key, or the proxy does not revoke it.
    """
    key_id, until_s = args.jti, None
    if args.key is not None:
        text = sys.stdin.readline() if args.key == _STDIN else args.key
        key_id, until_s = cell_keys.key_id_of(text.strip())
    address = _proxy(args, local=(args.state or args.ledger) is not None)
    if address is not None:
        revoked = _ask(address, lambda control: control.revoke(key_id=key_id, cell_id=args.cell))
    else:
        register, now_s = _register(args), int(time.time())
        if args.cell is not None:
            done = register.revoke_cell(args.cell, now_s)
        else:
            done = register.revoke_key(key_id, now_s, until_s)
        revoked = {"cell_id": args.cell, "key_id": key_id, **done._asdict()}
    if args.json:
        print_json(revoked)
    else:
        what = f"key {key_id}" if args.cell is None else f"all keys of {args.cell}"
        print(
            printable(f"{what} was revoked before" if revoked.get("before") else f"revoked {what}")
        )
    if revoked.get("known") is False:
        print(printable(_unknown(args.cell, key_id)), file=sys.stderr)
    return 0


def _unknown(cell_id: str | None, key_id: str) -> str:
    """Return what is said of a revocation that may name what does not exist."""
    what = f"key {key_id}" if cell_id is None else f"key of {cell_id}"
    return (
        f"no {what} is listed in the state folder: check the name with cab keys list. If it was minted "
        "elsewhere, it is refused from now on"
    )


def run_list(args: argparse.Namespace) -> int:
    """Print which keys were minted; return the exit code.

    Raises:
        AdapterError: The proxy's admin token is not set, or there is no state folder.
        CabProxyError: The proxy does not say it.
    """
    address, prefix = _proxy(args, local=(args.state or args.ledger) is not None), args.cell or ""
    if address is not None:

        async def all_keys(control: ControlClient) -> list[dict[str, Any]]:
            return [each async for each in control.keys(prefix)]

        found = _ask(address, all_keys)
    else:
        found = _register(args).views(int(time.time()), prefix)
    if args.valid:
        found = [each for each in found if each["state"] == "valid"]
    rows = [
        (k["key_id"], k["cell_id"], k["scope"], k["state"], k["expires_at"], _limits(k["limits"]))
        for k in found
    ]
    write("json" if args.json else "table", ResultTable(_COLUMNS, rows), found)
    return 0


_COLUMNS = (
    Column("key", "name"),
    Column("cell", "path"),
    Column("scope", "name", rank=3),
    Column("state", "name"),
    Column("expires", "name", rank=1),
    Column("limits", "text", rank=2),
)


def _limits(limits: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in limits.items())


def _register(args: argparse.Namespace) -> KeyRegister:
    """Return the register of a state folder, which mints nothing here."""
    return KeyRegister(KeyRing(()), Revocations(_state_folder(args)))


def _state_folder(args: argparse.Namespace) -> Path:
    folder: Path = args.state or state_beside(args.ledger or Path("cab-ledger"))
    if not folder.is_dir():
        raise AdapterError(
            f"there is no state folder {folder}; give --state DIR, the folder that the proxy's "
            "setting state names"
        )
    return folder


def _proxy(args: argparse.Namespace, *, local: bool) -> str | None:
    """Return where the proxy to ask is; None where it is done here.

    What the shell exports must not contradict a flag that says where.
    """
    if local and args.control is None and args.proxy is None:
        return None
    return control_address(args)


def _ask(address: str, question: Callable[[ControlClient], Awaitable[_Answer]]) -> _Answer:
    token = os.environ.get("CAB_ADMIN_TOKEN")
    if not token:
        raise AdapterError(f"set CAB_ADMIN_TOKEN to the admin token of the proxy at {address}")

    async def ask() -> _Answer:
        async with ControlClient(address, token) as control:
            return await question(control)

    return asyncio.run(ask())


def _ttl(text: str) -> int:
    ttl_s = duration_s(text)
    if text.isdecimal():
        raise argparse.ArgumentTypeError(
            f"{text} has no unit; give {text}s, {text}m, {text}h or {text}d"
        )
    if not ttl_s:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration; give 90m, 24h or 7d")
    return ttl_s


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _money(text: str) -> Decimal:
    try:
        amount = KeyLimits.from_claims({"max_cost_usd": text}).max_cost_usd
    except ValueError:
        amount = None
    if amount is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount above 0, such as 2.50")
    return amount


def _share(text: str) -> str:
    try:
        share = KeyLimits.from_claims({"share": text}).share
    except ValueError:
        share = None
    if share is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a part of the whole, such as 1/3")
    return share


_OF_AMOUNTS = {"calls": "calls", "tokens": "tokens", "cost_usd": "US dollars"}


def _window_options() -> Iterator[Option]:
    """Yield the flags of the limits of a minute, a day and a month."""
    for name, period, amount in WINDOW_LIMITS:
        yield Option(
            "--" + name.replace("_", "-"),
            type=_money if amount == "cost_usd" else _count,
            metavar="X" if amount == "cost_usd" else "N",
            help=f"most {_OF_AMOUNTS[amount]} in one {PERIODS[period]} of UTC"
            + ("; further calls wait" if period == MINUTE else ""),
        )


_PROXY = Option("--proxy", metavar="URL", help="ask a running proxy")
_FOLDERS = (
    Option(
        "--ledger",
        type=Path,
        metavar="DIR",
        help="the proxy's audit log (./cab-ledger), whose state folder is meant",
    ),
    Option("--state", type=Path, metavar="DIR", help="the proxy's state folder"),
)

_MINT = SimpleNamespace(
    DESCRIPTION="Create a key for a cell.",
    EPILOG=_MINT_EPILOG,
    OPTIONS=(
        Option("--cell", required=True, metavar="ID", help="the cell whose calls the key pays for"),
        Option(
            "--ttl", required=True, type=_ttl, metavar="TIME", help="time to live: 90m, 24h, 7d"
        ),
        Option(
            "--scope",
            choices=("call", "seal"),
            default="call",
            help="what the key is good for: calls of the cell, or its seal (call)",
        ),
        OptionGroup(
            "limits of the cell",
            Option(
                "--max-calls", type=_count, metavar="N", help="most calls that the cell may make"
            ),
            Option(
                "--max-tokens", type=_count, metavar="N", help="most tokens, prompt and completion"
            ),
            Option(
                "--max-cost-usd",
                type=_money,
                metavar="X",
                help="highest cost in US dollars, such as 2.50",
            ),
            Option(
                "--max-concurrency", type=_count, metavar="N", help="most calls at the same time"
            ),
            Option(
                "--on-unknown",
                choices=get_args(OnUnknown),
                help="what a call costs its limits that nobody counted (default: as the proxy is set)",
            ),
            Option(
                "--model",
                action="append",
                metavar="PATTERN",
                help="a model that the cell may call, such as gpt-5*; may be repeated; "
                "without it, all models",
            ),
            Option(
                "--share",
                type=_share,
                metavar="K/N",
                help="the key gets this part of its limits, rounded down: for K of N proxies without a "
                "common state folder, such as 1/3",
            ),
        ),
        OptionGroup("limits of the cell in a time", *_window_options()),
        _PROXY,
        CONTROL,
        JSON,
        Option("--signing-key-file", type=Path, metavar="FILE", help="instead of CAB_SIGNING_KEY"),
        *_FOLDERS,
    ),
    run=run_mint,
)

_REVOKE = SimpleNamespace(
    DESCRIPTION="Revoke one key, or all keys that a cell has now.",
    EPILOG=_REVOKE_EPILOG,
    OPTIONS=(
        OneOf(
            Option("key", nargs="?", metavar="KEY", help="the key itself; - reads it from stdin"),
            Option("--jti", metavar="ID", help="the key's id"),
            Option("--cell", metavar="ID", help="all keys of this cell that exist now"),
            required=True,
        ),
        _PROXY,
        CONTROL,
        JSON,
        *_FOLDERS,
    ),
    run=run_revoke,
)

_LIST = SimpleNamespace(
    DESCRIPTION="List the keys that were minted in a state folder, without the keys themselves.",
    EPILOG=_LIST_EPILOG,
    OPTIONS=(
        Option("--cell", metavar="PREFIX", help="only of cells whose id begins so"),
        Option(
            "--valid", action="store_true", help="without those that have expired or are revoked"
        ),
        _PROXY,
        CONTROL,
        JSON,
        *_FOLDERS,
    ),
    run=run_list,
)

DESCRIPTION = (
    "A cell's key holds the cell's id, what it is good for, its expiry and its limits, signed."
)

COMMANDS = {
    "list": Command(_LIST, "list the keys that were minted"),
    "mint": Command(_MINT, "create a key for a cell"),
    "revoke": Command(_REVOKE, "revoke keys, so that they are refused from now on"),
}
