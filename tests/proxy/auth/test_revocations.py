from pathlib import Path

import orjson
import pytest

from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.auth.cell_keys import CellKey
from cab.proxy.auth.revocations import FILE_NAME, Revocations
from cab.proxy.errors import BadConfig, BadKey

NOW_S = 1_800_000_000
KEY = CellKey("cell-a", "id-1", NOW_S, NOW_S + 60, KeyLimits())


def is_revoked(revocations: Revocations, key: CellKey) -> bool:
    try:
        revocations.check(key)
    except BadKey:
        return True
    return False


def test_a_revocation_holds_at_once_and_everywhere(tmp_path: Path) -> None:
    """One key is revoked: for whoever did it, for others that run, and for those that start later."""
    ours, others = Revocations(tmp_path), Revocations(tmp_path)
    assert not is_revoked(ours, KEY)
    assert not is_revoked(others, KEY)

    ours.revoke_key("id-1", NOW_S, KEY.expires_s)

    for revocations in (ours, others, Revocations(tmp_path)):
        assert is_revoked(revocations, KEY)
        assert not is_revoked(revocations, KEY._replace(key_id="id-2"))
    entry = {"at": "2027-01-15T08:00:00.000000Z", "key_id": "id-1", "until_s": KEY.expires_s}
    assert orjson.loads(ours.file.read_bytes()) == entry


def test_a_cells_keys_are_revoked_up_to_now(tmp_path: Path) -> None:
    """Revoking a cell ends all its keys; those minted later count, other cells' keys stay."""
    revocations = Revocations(tmp_path)
    revocations.revoke_cell("cell-a", NOW_S)
    revocations.revoke_cell("cell-a", NOW_S - 9)
    assert is_revoked(revocations, KEY)
    assert not is_revoked(revocations, KEY._replace(issued_s=NOW_S + 1))
    assert not is_revoked(revocations, KEY._replace(cell_id="cell-b"))


def test_a_torn_line_costs_no_other(tmp_path: Path) -> None:
    """A write that was torn is passed over, and what is added after it counts."""
    (tmp_path / FILE_NAME).write_bytes(b'{"key_id":"id-0"}\n[]\n{"what":1}\n{"key_id":"id')
    revocations = Revocations(tmp_path)
    assert is_revoked(revocations, KEY._replace(key_id="id-0"))
    assert not is_revoked(revocations, KEY)
    revocations.revoke_key("id-1", NOW_S)
    assert is_revoked(revocations, KEY)
    assert is_revoked(Revocations(tmp_path), KEY)


def test_a_file_that_was_replaced_is_read_again(tmp_path: Path) -> None:
    """A shorter file in its place is read from its start; what was revoked stays revoked."""
    revocations = Revocations(tmp_path)
    revocations.revoke_key("id-1", NOW_S)
    assert is_revoked(revocations, KEY)
    revocations.file.write_bytes(b'{"key_id":"2"}\n')
    assert is_revoked(revocations, KEY)
    assert is_revoked(revocations, KEY._replace(key_id="2"))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A revocation that cannot be written is an error, never a silent loss."""
    with pytest.raises(BadConfig, match=r"revoked\.ndjson cannot be written: No such file"):
        Revocations(tmp_path / "none").revoke_key("id-1", NOW_S)
