"""`cab keys`: makes and revokes the keys that agents hold."""

import argparse
import asyncio
import os
import re
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from cab.adapters.errors import AdapterError
from cab.adapters.ui.control_client import ask_control
from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.auth import cell_keys
from cab.proxy.auth.revocations import Revocations
from cab.proxy.auth.signing_keys import KeyRing, load_signing_keys, parse_signing_keys
from cab.proxy.errors import BadKey
from cab.scoring.timestamps import rfc3339

if TYPE_CHECKING:
    # argparse has no public name for what add_subparsers returns
    from argparse import _SubParsersAction  # pyright: ignore[reportPrivateUsage]

    Actions = _SubParsersAction[argparse.ArgumentParser]

_TTL = re.compile(r"([1-9][0-9]{0,8})([smhd]?)")
_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_STDIN = "-"

_MINT_EPILOG = """\
The key alone goes to standard output. Every proxy that has the signing key takes it.

environment:
  CAB_SIGNING_KEY  what keys are signed with; or --signing-key-file
  CAB_ADMIN_TOKEN  with --proxy: the proxy makes the key

examples:
  export OPENAI_API_KEY=$(cab keys mint --cell my-sweep/aider/gpt-5/polyglot/rust-error-handling --ttl 24h)
  cab keys mint --cell ID --ttl 2h --max-calls 200 --max-cost-usd 2.50 --json
"""

_REVOKE_EPILOG = """\
Without --proxy the revocation is written into the ledger's folder, where all proxies that use it
see it at once.

environment:
  CAB_ADMIN_TOKEN  with --proxy: the proxy writes it

examples:
  cab keys revoke --jti 41f0c7a9d2b35e68
  cab keys revoke - < key.txt
  cab keys revoke --cell my-sweep/aider/gpt-5/polyglot/rust-error-handling --proxy http://host:31415
"""


def add(subparsers: "Actions") -> None:
    """Add the command to the parser of `cab`."""
    parser = subparsers.add_parser(
        "keys",
        help="make and revoke the keys that agents hold",
        description="A cell's key names its cell, its expiry and its limits, signed.",
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add_mint(actions)
    _add_revoke(actions)


def _add_mint(actions: "Actions") -> None:
    parser = actions.add_parser(
        "mint",
        help="make a key for a cell",
        description="Make a key for a cell.",
        epilog=_MINT_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cell", required=True, metavar="ID", help="the cell that pays")
    parser.add_argument(
        "--ttl", required=True, type=_ttl, metavar="TIME", help="how long it holds: 90m, 24h, 7d"
    )
    limits = parser.add_argument_group("limits of the cell")
    limits.add_argument("--max-calls", type=_count, metavar="N", help="calls")
    limits.add_argument(
        "--max-tokens", type=_count, metavar="N", help="prompt and completion tokens"
    )
    limits.add_argument("--max-cost-usd", type=_money, metavar="X", help="US dollars: 2.50")
    limits.add_argument("--max-concurrency", type=_count, metavar="N", help="calls in flight")
    _add_source(parser)
    parser.add_argument(
        "--signing-key-file", type=Path, metavar="FILE", help="instead of CAB_SIGNING_KEY"
    )
    parser.set_defaults(run=run_mint)


def _add_revoke(actions: "Actions") -> None:
    parser = actions.add_parser(
        "revoke",
        help="make a key hold no longer",
        description="Revoke one key, or all keys that a cell has now.",
        epilog=_REVOKE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "key", nargs="?", metavar="KEY", help="the key itself, - reads it from stdin"
    )
    which.add_argument("--jti", metavar="ID", help="the key's id")
    which.add_argument(
        "--cell", metavar="ID", help="all keys of this cell that were made up to now"
    )
    _add_source(parser)
    parser.add_argument(
        "--ledger",
        type=Path,
        default=Path("cab-ledger"),
        metavar="DIR",
        help="the proxy's audit log (./cab-ledger)",
    )
    parser.set_defaults(run=run_revoke)


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--proxy",
        metavar="URL",
        help="ask a running proxy: its URL, or unix: and its control socket",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run_mint(args: argparse.Namespace) -> int:
    """Make a key and print it; return the exit code.

    Raises:
        AdapterError: There is nothing to sign with, or nobody to ask.
    """
    limits = KeyLimits(args.max_calls, args.max_tokens, args.max_cost_usd, args.max_concurrency)
    if args.proxy is not None:
        body = {"cell_id": args.cell, "ttl_s": args.ttl, **limits.claims()}
        minted = _ask(args.proxy, "/cab/keys", body)
    else:
        minted = _mint(_ring(args.signing_key_file), args.cell, args.ttl, limits)
    if args.json:
        _print_json(minted)
        return 0
    print(minted["key"])
    print(f"key {minted['key_id']}, holds until {minted['expires_at']}", file=sys.stderr)
    return 0


def _mint(ring: KeyRing, cell_id: str, ttl_s: int, limits: KeyLimits) -> dict[str, Any]:
    now_s = int(time.time())
    token = cell_keys.mint(ring, cell_id, ttl_s, now_s, limits)
    key = cell_keys.verify(ring, token, now_s)
    return {
        "key": token,
        "key_id": key.key_id,
        "cell_id": key.cell_id,
        "expires_at": rfc3339(key.expires_s * 1_000_000_000),
        "limits": key.limits.claims(),
    }


def _ring(file: Path | None) -> KeyRing:
    if file is not None:
        return load_signing_keys(file)
    text = os.environ.get("CAB_SIGNING_KEY")
    if not text:
        raise AdapterError(
            "nothing to sign with; set CAB_SIGNING_KEY, give --signing-key-file FILE (a proxy keeps "
            "its own as signing.key in the ledger's folder), or ask a proxy with --proxy URL"
        )
    return parse_signing_keys(text)


def run_revoke(args: argparse.Namespace) -> int:
    """Revoke a key or a cell's keys; return the exit code.

    Raises:
        AdapterError: What is given is no key, or there is nobody to ask.
    """
    key_id, until_s = args.jti, None
    if args.key is not None:
        key_id, until_s = _named(args.key)
    if args.proxy is not None:
        body = {"cell_id": args.cell} if args.cell is not None else {"key_id": key_id}
        revoked = _ask(args.proxy, "/cab/keys/revoke", body)
    else:
        revocations, now_s = Revocations(args.ledger), int(time.time())
        if args.cell is not None:
            revocations.revoke_cell(args.cell, now_s)
        else:
            revocations.revoke_key(key_id, now_s, until_s)
        revoked = {"cell_id": args.cell, "key_id": key_id}
    if args.json:
        _print_json(revoked)
    else:
        what = f"key {key_id}" if args.cell is None else f"all keys of {args.cell}"
        print(f"revoked {what}")
    return 0


def _named(key: str) -> tuple[str, int | None]:
    text = sys.stdin.readline() if key == _STDIN else key
    try:
        return cell_keys.key_id_of(text.strip())
    except BadKey as error:
        raise AdapterError(str(error)) from error


def _ask(proxy: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    token = os.environ.get("CAB_ADMIN_TOKEN")
    if not token:
        raise AdapterError("set CAB_ADMIN_TOKEN to the admin token of the proxy")
    return asyncio.run(ask_control(proxy, path, token, body))


def _ttl(text: str) -> int:
    match = _TTL.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; give 90m, 24h or 7d")
    return int(match[1]) * _UNITS_S[match[2]]


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _money(text: str) -> Decimal:
    try:
        amount = KeyLimits.from_claims({"max_cost_usd": text}).max_cost_usd
    except ValueError:
        amount = None
    if amount is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount above 0, such as 2.50")
    return amount


def _print_json(value: dict[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE))
