"""What was less confined than it could be."""

import re

import pytest

from cab.adapters.errors import AdapterError
from cab.adapters.sandboxes import deviations


def test_words_are_stable() -> None:
    """The words stand in cells: none is renamed, and each has a sentence."""
    assert list(deviations.SENTENCES) == [
        "no-boundary",
        "root",
        "docker-socket",
        "writable-root",
        "open-network",
        "no-limits",
        "host-checks",
        "given-network",
        "shared-uid",
        "same-container-checks",
        "key-readable",
        "key-in-parent",
        "key-in-file",
    ]
    for word, what in deviations.SENTENCES.items():
        assert re.fullmatch("[a-z-]+", word)
        assert what.startswith(("the ", "no ", "cab", "a process "))


def test_named_in_one_order() -> None:
    """However they were found, deviations stand in one order, each once."""
    found = deviations.named(["open-network", "root", "root"])

    assert [deviation.name for deviation in found] == ["root", "open-network"]
    assert found[0].what == "the agent ran as root"


def test_only_some_can_be_asked_for() -> None:
    """What can be asked for is what an image may need; all else is refused."""
    assert deviations.require_allowed(["root", "root"]) == {"root"}
    with pytest.raises(AdapterError, match="did you mean 'writable-root'"):
        deviations.require_allowed(["writeable-root"])
    with pytest.raises(AdapterError, match="no deviation 'xyz'; known: root"):
        deviations.require_allowed(["xyz"])
