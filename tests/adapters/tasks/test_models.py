from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cab.adapters.tasks.models import Task

CASE = {"name": "first", "ask": "", "answer": "1"}


def make(check: dict[str, Any], **more: Any) -> Task:
    return Task.model_validate(
        {
            "schema": "cab.task/1",
            "id": "mine/first",
            "category": "mine",
            "prompt": "Do it.",
            "root": Path("/task"),
            "check": check,
            **more,
        }
    )


def test_family_and_folders() -> None:
    """A task knows its family, and where its parts lie."""
    task = make({"command": ["true"]}, language="c")
    assert (task.family, task.language) == ("mine", "c")
    folders = (task.workspace, task.checks, task.solution)
    assert folders == (Path("/task/workspace"), Path("/task/checks"), Path("/task/solution"))


@pytest.mark.parametrize(
    ("check", "more"),
    [
        ({"command": ["true"]}, {}),
        ({"probe": {"command": ["true"]}}, {"cases": [CASE]}),
        ({"refusal": {}}, {"expected_refusal": True}),
        ({"refusal": {"mentions": ["a|b", "c"]}}, {"expected_refusal": True}),
        ({"command": ["true"], "probe": {"command": ["x"], "build": [["y"]]}}, {"cases": [CASE]}),
    ],
)
def test_kinds_of_checks(check: dict[str, Any], more: dict[str, Any]) -> None:
    """Tests, questions and documents can be checked, also together."""
    assert make(check, **more).check.model_dump(exclude_unset=True) == check


@pytest.mark.parametrize(
    ("check", "more", "reason"),
    [
        ({}, {}, "checks nothing; add command, probe or refusal"),
        ({"command": []}, {}, "at least 1 item"),
        ({"refusal": {}}, {}, "is for tasks with expected_refusal = true"),
        ({"refusal": {}, "must_print": ["x"]}, {"expected_refusal": True}, "add command"),
        (
            {"refusal": {"mentions": ["("]}},
            {"expected_refusal": True},
            "is not a valid regular expression",
        ),
        ({"probe": {"command": ["x"]}}, {}, "come together; add the other"),
        ({"command": ["true"]}, {"cases": [CASE]}, "come together; add the other"),
        ({"probe": {"command": ["x"], "case_timeout_s": 0}}, {"cases": [CASE]}, "greater than 0"),
        ({"probe": {"command": ["x"], "build": [[]]}}, {"cases": [CASE]}, "at least 1 item"),
        ({"probe": {"command": ["x"]}}, {"cases": [CASE, CASE]}, "have the same name"),
        ({"command": ["true"]}, {"language": "C"}, "should match pattern"),
        ({"command": ["true"]}, {"forbidden_texts": ["short"]}, "at least 8 characters"),
        ({"command": ["true"]}, {"forbidden_files": ["/etc/x"]}, "remove the leading /"),
    ],
)
def test_what_cannot_be_a_task(check: dict[str, Any], more: dict[str, Any], reason: str) -> None:
    """A declaration that contradicts itself is refused with the fix."""
    with pytest.raises(ValidationError, match=reason):
        make(check, **more)
