import stat
from pathlib import Path

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.proxy import keys
from cab.proxy.errors import BadConfig, BadKey

SECRET = keys.new_signing_key()
NOW_S = 1_800_000_000
CELL = "sweep/aider/org/model/polyglot/task#run2"


@given(cell_id=st.text(min_size=1), ttl_s=st.integers(1, 10**8))
def test_a_key_names_its_cell_until_it_expires(cell_id: str, ttl_s: int) -> None:
    """A key leads back to its cell up to the last second of its life, and not after."""
    key = keys.mint(SECRET, cell_id, ttl_s, NOW_S)
    assert keys.is_ours(key)
    assert keys.cell_of(SECRET, key, NOW_S + ttl_s - 1) == cell_id
    with pytest.raises(BadKey, match="expired"):
        keys.cell_of(SECRET, key, NOW_S + ttl_s)


def test_a_key_of_another_proxy_is_refused() -> None:
    """A key signed with another secret does not hold, though it looks like ours."""
    key = keys.mint(keys.new_signing_key(), CELL, 60, NOW_S)
    assert keys.is_ours(key)
    with pytest.raises(BadKey, match="not made for this proxy"):
        keys.cell_of(SECRET, key, NOW_S)


def test_an_unsigned_key_is_refused() -> None:
    """A token that says it needs no signature is refused."""
    token = jwt.encode({"iss": "cab", "sub": CELL, "exp": NOW_S + 9}, "", algorithm="none")
    with pytest.raises(BadKey):
        keys.cell_of(SECRET, token, NOW_S)


@pytest.mark.parametrize("missing", ["exp", "sub", "iss"])
def test_a_key_without_a_claim_is_refused(missing: str) -> None:
    """A key that names no cell, issuer or expiry is refused."""
    claims = {"iss": "cab", "sub": CELL, "exp": NOW_S + 9}
    del claims[missing]
    with pytest.raises(BadKey):
        keys.cell_of(SECRET, jwt.encode(claims, SECRET, algorithm="HS256"), NOW_S)


@given(st.text())
def test_any_other_text_is_a_foreign_key(text: str) -> None:
    """A text that is no token of ours is somebody else's key, not an error."""
    assert not keys.is_ours(text)


def test_the_key_file_is_made_once_and_private(tmp_path: Path) -> None:
    """The signing key is made on first use, readable by its owner only, and then kept."""
    file = tmp_path / "signing.key"
    first = keys.load_or_create_signing_key(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert keys.load_or_create_signing_key(file) == first


def test_short_signing_keys_are_refused(tmp_path: Path) -> None:
    """A signing key of fewer than 32 bytes is refused wherever it comes from."""
    file = tmp_path / "signing.key"
    file.write_text("short\n")
    with pytest.raises(BadConfig, match="fewer than 32 bytes"):
        keys.load_or_create_signing_key(file)
    with pytest.raises(BadConfig, match="fewer than 32 bytes"):
        keys.mint("short", CELL, 60, NOW_S)


def test_a_key_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """A key file in a folder that is not there, or that is a folder, is named."""
    with pytest.raises(BadConfig, match="cannot be written: No such file"):
        keys.load_or_create_signing_key(tmp_path / "none" / "signing.key")
    with pytest.raises(BadConfig, match="cannot be read: Is a directory"):
        keys.load_or_create_signing_key(tmp_path)
