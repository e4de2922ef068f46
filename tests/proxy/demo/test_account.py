import hashlib
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.demo.account import LISTED_CALLS, Account, ServedAttempt, ServedOutcome, fingerprint

PLAIN = ServedAttempt(
    id="a",
    model="m",
    stream=False,
    prompt_tokens=1,
    completion_tokens=2,
    finish_reason="stop",
    key_fingerprint=None,
    endpoint="chat.completions",
    path="/v1/chat/completions",
    status=200,
    outcome="served",
)
REFUSED = PLAIN._replace(
    id=None,
    prompt_tokens=None,
    completion_tokens=None,
    finish_reason=None,
    status=429,
    outcome="refused",
)

served = st.builds(
    lambda prompt, completion: PLAIN._replace(prompt_tokens=prompt, completion_tokens=completion),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
)
attempts = served | st.just(REFUSED) | served.map(lambda call: call._replace(outcome="cut"))


@given(st.lists(attempts, max_size=20))
def test_the_account_is_the_sum_of_the_calls_it_served(added: list[ServedAttempt]) -> None:
    """The sums are those of the calls that were served; every attempt is listed in order."""
    account = Account()
    for attempt in added:
        account.add(attempt)
    found = account.snapshot()
    calls = [attempt for attempt in added if attempt.outcome == "served"]
    assert found["calls"] == len(calls)
    assert found["prompt_tokens"] == sum(call.prompt_tokens or 0 for call in calls)
    assert found["completion_tokens"] == sum(call.completion_tokens or 0 for call in calls)
    assert found["total_tokens"] == found["prompt_tokens"] + found["completion_tokens"]
    assert found["by_call"] == [attempt._asdict() for attempt in added]


@pytest.mark.parametrize("outcome", get_args(ServedOutcome))
def test_each_outcome_is_counted_apart(outcome: ServedOutcome) -> None:
    """A request that was refused or cut off is not a call that was served."""
    account = Account()
    account.add(PLAIN._replace(outcome=outcome))
    found = account.snapshot()
    counts = {"served": found["calls"], "cut": found["cut"], "refused": found["refused"]}
    assert counts == {each: int(each == outcome) for each in get_args(ServedOutcome)}


def test_the_list_is_bounded_and_the_sums_are_not() -> None:
    """After many calls the list holds the latest ones, and the sums cover all."""
    account = Account()
    for number in range(LISTED_CALLS + 3):
        account.add(PLAIN._replace(id=str(number)))
    found = account.snapshot()
    assert len(found["by_call"]) == LISTED_CALLS
    assert found["by_call"][0]["id"] == "3"
    assert (found["calls"], found["total_tokens"]) == (LISTED_CALLS + 3, 3 * (LISTED_CALLS + 3))


def test_repetitions_are_counted_per_body() -> None:
    """Each body has its own count."""
    account = Account()
    assert [account.repetition(body) for body in (b"a", b"b", b"a", b"a")] == [1, 1, 2, 3]


def test_a_fingerprint_does_not_show_the_key() -> None:
    """A key is known by the head of its SHA-256; no key, no fingerprint."""
    digest = hashlib.sha256(b"sk-secret").hexdigest()
    assert fingerprint("Bearer sk-secret") == digest[:12]
    assert fingerprint("Bearer ") is None
    assert fingerprint(None) is None
