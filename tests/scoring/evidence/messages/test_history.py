"""What of a call an earlier one holds already."""

from cab.scoring.evidence.messages.history import History, Repeated
from cab.scoring.evidence.messages.model import (
    SaidAnswer,
    SaidCall,
    SaidMessage,
    SaidReasoning,
    SaidRequest,
    SaidText,
)


def said(role: str, text: str, *more: SaidReasoning) -> SaidMessage:
    """Return a message."""
    return SaidMessage(role, (*more, SaidText(text)))


def call(answer: str | None, *messages: SaidMessage) -> SaidCall:
    """Return a call."""
    answered = said("assistant", answer, SaidReasoning("hm")) if answer else None
    return SaidCall(SaidRequest(messages), SaidAnswer((answered,)) if answered else None)


def test_a_call_goes_on_with_the_one_that_it_shares_most_with() -> None:
    """With its answer too, without its reasoning; a subagent in between has a history of its own."""
    history = History()
    task, sub = said("system", "s"), said("system", "sub")
    first = [task, said("user", "fix")]
    second = [*first, said("assistant", "ls"), said("user", "a.py")]
    assert history.add("1", call("ls", *first)) == Repeated(0, None)
    assert history.add("2", call("x", sub, said("user", "look"))) == Repeated(0, None)
    assert history.add("3", call(None, *second)) == Repeated(3, "1")
    assert history.add("4", call("ok", *second)) == Repeated(4, "3")
    assert history.add("5", call("y", sub, said("user", "look"))) == Repeated(2, "2")
    assert history.add("6", SaidCall(None, None)) == Repeated(0, None)
