import hashlib

from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.demo.account import KEPT_CALLS, Account, ServedCall, fingerprint

calls = st.builds(
    ServedCall,
    st.text(max_size=5),
    st.text(max_size=5),
    st.booleans(),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.sampled_from(["stop", "tool_calls"]),
    st.none(),
)


@given(st.lists(calls, max_size=20))
def test_the_account_is_the_sum_of_its_calls(served: list[ServedCall]) -> None:
    """The sums are those of the calls that were entered, which are listed in order."""
    account = Account()
    for call in served:
        account.serve(call)
    found = account.snapshot()
    assert found["calls"] == len(served)
    assert found["prompt_tokens"] == sum(call.prompt_tokens for call in served)
    assert found["completion_tokens"] == sum(call.completion_tokens for call in served)
    assert found["total_tokens"] == found["prompt_tokens"] + found["completion_tokens"]
    assert found["by_call"] == [call._asdict() for call in served]


def test_the_list_is_bounded_and_the_sums_are_not() -> None:
    """After many calls the list holds the latest ones, and the sums cover all."""
    account = Account()
    for number in range(KEPT_CALLS + 3):
        account.serve(ServedCall(str(number), "m", False, 1, 2, "stop", None))
    found = account.snapshot()
    assert len(found["by_call"]) == KEPT_CALLS
    assert found["by_call"][0]["id"] == "3"
    assert (found["calls"], found["total_tokens"]) == (KEPT_CALLS + 3, 3 * (KEPT_CALLS + 3))


def test_refusals_are_counted_apart() -> None:
    """A request that was refused is no call."""
    account = Account()
    account.refuse()
    found = account.snapshot()
    assert (found["calls"], found["refused"], found["by_call"]) == (0, 1, [])


def test_repetitions_are_counted_per_body() -> None:
    """Each body has its own count."""
    account = Account()
    assert [account.repetition(body) for body in (b"a", b"b", b"a", b"a")] == [1, 1, 2, 3]


def test_a_fingerprint_does_not_tell_the_key() -> None:
    """A key is known by the head of its SHA-256; no key, no fingerprint."""
    digest = hashlib.sha256(b"sk-secret").hexdigest()
    assert fingerprint("Bearer sk-secret") == digest[:12]
    assert fingerprint("Bearer ") is None
    assert fingerprint(None) is None
