"""The adapters' errors."""

from pathlib import Path

from cab.adapters.errors import InstallFailed, UnknownAdapter, nearest


def test_numbers_and_names_are_attributes() -> None:
    """What an error names can be had without reading its text."""
    unknown = UnknownAdapter("codx", ["codex", "aider"])

    assert (unknown.name, unknown.known, unknown.near) == ("codx", ("aider", "codex"), "codex")
    assert InstallFailed("aider", "no", Path("log")).log == Path("log")
    assert str(InstallFailed("aider", "no")) == "aider was not installed: no"


def test_nearest() -> None:
    """The nearest name is found, and none is made up."""
    assert nearest("scriptd", ["aider", "scripted"]) == "scripted"
    assert nearest("zzz", ["aider", "scripted"]) is None
