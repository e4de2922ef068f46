"""The limit of a call that runs out next."""

import asyncio

import pytest

from cab.proxy.forwarding.deadline import Deadline, Limit


async def wait(deadline: Deadline, limit: Limit, seconds: float | None) -> None:
    """Set a limit within the block, then wait for ever."""
    async with deadline.applied():
        deadline.set(limit, seconds)
        await asyncio.Event().wait()


async def test_a_limit_ends_the_block_and_says_which_it_was() -> None:
    """A limit counts whether it was set before the block or within it; after it, it does nothing."""
    deadline = Deadline()
    limits: list[Limit] = ["headers", "gone"]
    for limit in limits:
        with pytest.raises(TimeoutError):
            await wait(deadline, limit, 0)
        assert deadline.limit == limit
        deadline.set("body", 0)


async def test_a_later_limit_takes_the_place_of_an_earlier_one() -> None:
    """Bytes that come give a new limit, or none."""
    deadline = Deadline()
    deadline.set("headers", 0)
    async with deadline.applied():
        deadline.set("body", None)
        for _ in range(3):  # turns of the loop in which the first one would have run out
            await asyncio.sleep(0)
    assert deadline.limit == "body"


async def test_a_stop_is_not_taken_back() -> None:
    """The proxy's stop ends the call, whatever other limit is set after it."""
    deadline = Deadline()
    deadline.set("stop", 0)
    with pytest.raises(TimeoutError):
        await wait(deadline, "body", None)
    assert deadline.limit == "stop"
