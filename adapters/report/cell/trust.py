"""Why a reader may believe the figures: what was less confined, what the seal states, what was verified."""

from shlex import quote
from typing import NamedTuple

from cab.adapters.report.cell.facts import ReportCell, page_part
from cab.adapters.report.cell.identity import FactRow
from cab.adapters.report.render.numbers import integer
from cab.adapters.report.render.visible import cut
from cab.scoring.cells.bundle import SEAL_FILE
from cab.scoring.cells.result_record import verify_bundle
from cab.scoring.errors import BadRecord
from cab.scoring.files import is_list, is_object
from cab.scoring.ledger.seals import Seal, load_seal
from cab.scoring.printable import counted

_MOST_DEVIATIONS = 50
"""Of a page from elsewhere."""


class Verified(NamedTuple):
    """What was verified when the page was made."""

    holds: bool
    checked: list[str]
    not_checked: list[str]
    faults: list[str]


def deviation_rows(cell: ReportCell) -> list[FactRow] | None:
    """Return what was less confined than it could be; None if nobody wrote it down."""
    if cell.scored.cell is not None:
        found = cell.scored.cell.identity.deviations
        return None if found is None else [FactRow(each.name, each.what) for each in found]
    said = page_part(cell, "identity").get("deviations")
    if not is_list(said):
        return None
    rows = [each for each in said[:_MOST_DEVIATIONS] if is_object(each)]
    return [FactRow(str(each.get("name")), cut(str(each.get("what")), 500)) for each in rows]


def seal_rows(cell: ReportCell) -> list[FactRow]:
    """Return what the seal of a bundle states; nothing if there is none."""
    file = None if cell.folder is None else cell.folder / SEAL_FILE
    if file is None or not file.is_file():
        return []
    seal = load_seal(file)
    return [
        FactRow("digest", seal.digest, is_code=True),
        FactRow("covers", _covers(seal)),
        FactRow("sealed_at", _extra(seal, "sealed_at"), is_code=True),
        FactRow("form", seal.seal_schema, is_code=True),
        FactRow("signed", "yes" if _extra(seal, "signature") else "no"),
        *(
            FactRow(f"chain {head.chain}", head.hash, is_code=True, note="where the ledger stood")
            for head in seal.heads or ()
        ),
    ]


def _covers(seal: Seal) -> str:
    parts = [counted(seal.records, "record")]
    if seal.calls is not None:
        parts.append(counted(seal.calls, "call"))
    if seal.total_tokens is not None:
        parts.append(f"{integer(seal.total_tokens)} tokens")
    return ", ".join(parts)


def _extra(seal: Seal, name: str) -> str | None:
    found = (seal.model_extra or {}).get(name)
    return None if found is None else str(found)


def verified(cell: ReportCell) -> Verified | None:
    """Return what was verified just now; None if the cell is no bundle."""
    if cell.folder is None:
        return None
    score = "the scores of cell.json: made again from the facts, and the same byte for byte"
    differ = "the scores of cell.json are not those that the facts give"
    same = bool(cell.scored.identical)
    try:
        found = verify_bundle(cell.folder)
    except BadRecord as error:
        return Verified(False, [], [], [f"{error.reason}"])
    faults = [f"{fault.path.name}: {fault.what}" for fault in found.faults]
    return Verified(
        holds=found.holds and same,
        checked=[*found.checked, *([score] if same else [])],
        not_checked=list(found.not_checked),
        faults=[*faults, *([] if same else [differ])],
    )


def verify_commands(cell: ReportCell) -> str:
    """Return how anybody checks the same with a copy of the bundle."""
    bundle = quote(f"runs/{cell.cell_id}")
    return f"cab score {bundle}\ncab ledger verify {bundle}"
