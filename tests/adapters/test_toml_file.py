"""TOML files of users: what is read, and how errors name file, key and fix."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from cab.adapters.toml_file import BadFile, first_problem, read_toml


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    jobs: int


class BadSettings(BadFile):
    """The error of a kind of file."""


def problem(data: object) -> tuple[str, str]:
    """Return the first problem of some settings."""
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(data)
    return first_problem(caught.value, "the settings", Settings.model_fields)


def test_read(tmp_path: Path) -> None:
    """A file is read; one that cannot be is the error of its kind, with its name."""
    file = tmp_path / "a.toml"
    file.write_text("jobs = 1\n")
    assert read_toml(file, BadSettings) == {"jobs": 1}

    file.write_text("jobs =")
    with pytest.raises(BadSettings, match=r"a\.toml: is not valid TOML: "):
        read_toml(file, BadSettings)
    file.write_bytes(b"\xff")
    with pytest.raises(BadSettings, match=r"a\.toml: cannot be read: ") as caught:
        read_toml(file, BadSettings)
    assert (caught.value.file, caught.value.key) == (file, None)


@pytest.mark.parametrize("name", ["none.toml", "file/x.toml"])
def test_no_file(tmp_path: Path, name: str) -> None:
    """A file that does not exist is left to the caller, which knows what it should be."""
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError):
        read_toml(tmp_path / name, BadSettings)


def test_first_problem() -> None:
    """A key that is unknown, missing or wrong is named with the fix."""
    unknown = "is not a key of the settings; "
    assert problem({"jobs": 1, "jbos": 2}) == ("jbos", f"{unknown}did you mean 'jobs'?")
    assert problem({"jobs": 1, "xyzzy": 2}) == ("xyzzy", f"{unknown}remove it")
    assert problem({}) == ("jobs", "is missing; add it")
    assert problem({"jobs": "x"})[0] == "jobs"


def test_key() -> None:
    """The key, if there is one, is between the file and the reason."""
    assert str(BadFile(Path("f"), "is wrong", "a.b")) == "f: a.b: is wrong"
    assert str(BadFile(Path("f"), "is wrong")) == "f: is wrong"
