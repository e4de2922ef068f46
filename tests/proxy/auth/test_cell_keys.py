from decimal import Decimal

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.auth import cell_keys
from cab.proxy.auth.signing_keys import new_signing_key, parse_signing_keys
from cab.proxy.errors import BadConfig, BadKey

SECRET = new_signing_key()
RING = parse_signing_keys(SECRET)
NOW_S = 1_800_000_000
CELL = "sweep/aider/org/model/polyglot/task#run2"
CLAIMS = {"iss": "cab", "sub": CELL, "iat": NOW_S, "exp": NOW_S + 9, "jti": "id"}


@given(cell_id=st.text(min_size=1), ttl_s=st.integers(1, 10**8))
def test_a_key_names_its_cell_until_it_expires(cell_id: str, ttl_s: int) -> None:
    """A key leads back to its cell up to the last second of its life, and not after."""
    key = cell_keys.mint(RING, cell_id, ttl_s, NOW_S)
    assert cell_keys.is_ours(key)
    read = cell_keys.verify(RING, key, NOW_S + ttl_s - 1)
    assert (read.cell_id, read.issued_s, read.expires_s) == (cell_id, NOW_S, NOW_S + ttl_s)
    with pytest.raises(BadKey, match="expired"):
        cell_keys.verify(RING, key, NOW_S + ttl_s)


def test_a_key_carries_its_limits_and_an_id_of_its_own() -> None:
    """What a cell may spend stands in its key; every key has another id."""
    limits = KeyLimits(10, 20_000, Decimal("2.50"), 2)
    token = cell_keys.mint(RING, CELL, 60, NOW_S, limits)
    read = cell_keys.verify(RING, token, NOW_S)
    assert read.limits == limits
    assert (
        cell_keys.verify(RING, cell_keys.mint(RING, CELL, 60, NOW_S), NOW_S).key_id != read.key_id
    )
    assert cell_keys.unverified(token) == {
        "iss": "cab",
        "sub": CELL,
        "iat": NOW_S,
        "exp": NOW_S + 60,
        "jti": read.key_id,
        "scope": "call",
        "max_calls": 10,
        "max_tokens": 20_000,
        "max_cost_usd": "2.50",
        "max_concurrency": 2,
    }


def test_a_cell_has_a_key_for_calls_and_one_for_its_seal() -> None:
    """The two differ in their scope; a key that names none, as older ones do, is for calls."""
    keys = cell_keys.mint_both(RING, CELL, 60, NOW_S, KeyLimits(max_calls=3))
    call, seal = (cell_keys.verify(RING, key, NOW_S) for key in keys)
    assert (call.scope, call.limits.max_calls, seal.scope) == ("call", 3, "seal")
    assert (call.cell_id, call.expires_s) == (seal.cell_id, seal.expires_s)
    old = jwt.encode(CLAIMS, SECRET, algorithm="HS256")
    assert cell_keys.verify(RING, old, NOW_S).scope == "call"
    strange = jwt.encode({**CLAIMS, "scope": "admin"}, SECRET, algorithm="HS256")
    with pytest.raises(BadKey, match="scope is not known here"):
        cell_keys.verify(RING, strange, NOW_S)


def test_signing_keys_rotate() -> None:
    """While the old signing key stays in the ring its keys count; the new one signs."""
    other = new_signing_key()
    old, new = parse_signing_keys(f"a:{SECRET}"), parse_signing_keys(f"b:{other},a:{SECRET}")
    before, after = cell_keys.mint(old, CELL, 60, NOW_S), cell_keys.mint(new, CELL, 60, NOW_S)

    assert jwt.get_unverified_header(before) == {"alg": "HS256", "kid": "a", "typ": "JWT"}
    assert jwt.get_unverified_header(after)["kid"] == "b"
    assert cell_keys.verify(new, before, NOW_S).cell_id == CELL
    assert cell_keys.verify(new, after, NOW_S).cell_id == CELL
    assert cell_keys.verify(new, cell_keys.mint(RING, CELL, 60, NOW_S), NOW_S).cell_id == CELL
    with pytest.raises(BadKey, match="not made for this proxy"):
        cell_keys.verify(parse_signing_keys(f"b:{other}"), before, NOW_S)


def test_a_key_of_another_proxy_is_refused() -> None:
    """A key signed with another secret does not hold, though it looks like ours."""
    key = cell_keys.mint(parse_signing_keys(new_signing_key()), CELL, 60, NOW_S)
    assert cell_keys.is_ours(key)
    with pytest.raises(BadKey, match="not made for this proxy"):
        cell_keys.verify(RING, key, NOW_S)


@pytest.mark.parametrize("algorithm", ["none", "HS512"])
def test_a_key_signed_in_another_way_is_refused(algorithm: str) -> None:
    """A token that says it needs no signature, or another one, is refused."""
    secret = "" if algorithm == "none" else SECRET
    with pytest.raises(BadKey):
        cell_keys.verify(RING, jwt.encode(CLAIMS, secret, algorithm=algorithm), NOW_S)


@pytest.mark.parametrize("missing", ["exp", "sub", "iss", "iat", "jti"])
def test_a_key_without_a_claim_is_refused(missing: str) -> None:
    """A key that names no cell, issuer, id or instant is refused."""
    claims = {name: value for name, value in CLAIMS.items() if name != missing}
    with pytest.raises(BadKey):
        cell_keys.verify(RING, jwt.encode(claims, SECRET, algorithm="HS256"), NOW_S)


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"max_calls": "10"}, "max_calls must be"),
        ({"max_cost_usd": 0.1}, "max_cost_usd must be"),
        ({"exp": NOW_S + 9.5}, "does not say when it expires"),
        ({"iat": "now"}, "does not say when it expires"),
    ],
)
def test_a_key_that_cannot_be_read_is_refused(claims: dict[str, object], said: str) -> None:
    """A limit or an instant of a wrong form is an error, never taken for none."""
    with pytest.raises(BadKey, match=said):
        cell_keys.verify(RING, jwt.encode({**CLAIMS, **claims}, SECRET, algorithm="HS256"), NOW_S)


@given(st.text(st.characters()))
def test_any_other_text_is_a_foreign_key(text: str) -> None:
    """A text that is no token of ours is somebody else's key, not an error."""
    assert not cell_keys.is_ours(text)
    with pytest.raises(BadKey):
        cell_keys.verify(RING, text, NOW_S)


@pytest.mark.parametrize(("cell_id", "ttl_s"), [("", 60), (CELL, 0), (CELL, 10**12)])
def test_a_key_needs_a_cell_and_an_end(cell_id: str, ttl_s: int) -> None:
    """No key is made without a cell, or for no time, or for ever."""
    with pytest.raises(BadConfig):
        cell_keys.mint(RING, cell_id, ttl_s, NOW_S)
