"""The OpenAPI document against the running control API: whatever is asked, the answer is as it says."""

import functools
import importlib
import os
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.proxy.cli.test_main import running

pytestmark = pytest.mark.slow


def without_security(document: Any) -> Any:
    """Return the document without its keys: all requests hold the admin token."""
    if isinstance(document, dict):
        left = {k: v for k, v in document.items() if k not in {"security", "securitySchemes"}}
        return {k: without_security(v) for k, v in left.items()}
    return [without_security(v) for v in document] if isinstance(document, list) else document


ADMIN = "admin-token-of-the-tests"
CELL = "s/aider/org/m/f/t#run2"
DOCUMENT = orjson.loads(
    (Path(__file__).parents[3] / "proxy" / "control" / "openapi.json").read_bytes()
)
OPERATIONS = sorted(
    f"{method.upper()} {path}"
    for path, item in DOCUMENT["paths"].items()
    for method in item
    if method != "parameters"
)
CASES = [
    (label, mode)
    for label in OPERATIONS
    for mode in ("positive", "negative")
    # Where nothing but an id can be sent nothing can be wrong.
    if mode == "positive" or re.search("keys|cells$", label)
]
NOT_CHECKED = {
    # That a text is no cell's key is not for a schema to say.
    "POST /cab/keys/revoke": "positive_data_acceptance",
    # Nor that a share of a limit comes to nothing.
    "POST /cab/keys": "positive_data_acceptance",
    # Its wrong queries (a name, a list) may be right ones by the time they are written as a query.
    "GET /cab/cells": "negative_data_rejection",
    "GET /cab/keys": "negative_data_rejection",
}
SEAL = ("POST /cab/cells/{cell_id}/seal",)
EXAMPLES = int(os.environ.get("CAB_OPENAPI_EXAMPLES", "15"))
"""Of each kind and operation; more of them for a long run."""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A proxy with an admin and one cell that has called."""
    folder = tmp_path_factory.mktemp("openapi")
    with running("--upstream", "demo", cwd=folder, CAB_ADMIN_TOKEN=ADMIN) as (_, printed):
        match = re.search(r"listens on\s+(http://127\.0\.0\.1:\d+)", printed)
        assert match
        key = ask("POST", f"{match[1]}/cab/keys", ADMIN, {"cell_id": CELL, "ttl_s": 600})["key"]
        body = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
        ask("POST", f"{match[1]}/v1/chat/completions", key, body)
        yield match[1]


def ask(method: str, url: str, token: str, body: object = None) -> Any:
    data = None if body is None else orjson.dumps(body)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return orjson.loads(answer.read())


@functools.cache
def schemathesis() -> Any:
    """Return the library; loading it takes half a second, which only who runs these tests spends."""
    return importlib.import_module("schemathesis")


@functools.cache
def schema() -> Any:
    return schemathesis().openapi.from_dict(without_security(DOCUMENT))


def operation_named(label: str) -> Any:
    method, path = label.split(" ")
    return schema()[path][method]


def not_checked(label: str) -> list[Any]:
    """Return the checks that an operation is left out of."""
    checks = importlib.import_module("schemathesis.specs.openapi.checks")
    return [getattr(checks, NOT_CHECKED[label])] if label in NOT_CHECKED else []


@pytest.mark.parametrize(("label", "mode"), CASES)
def test_answers_are_as_the_document_says(api: str, label: str, mode: str) -> None:
    """Status, type, headers and body of every answer are documented, for right and wrong requests."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(case=operation_named(label).as_strategy(schemathesis().GenerationMode(mode)))
    def check(case: Any) -> None:
        headers = {"Authorization": f"Bearer {ADMIN}"}
        case.call_and_validate(base_url=api, headers=headers, excluded_checks=not_checked(label))

    check()


def test_a_cell_is_as_the_document_says(api: str) -> None:
    """Totals, lines and seal of a cell that is there are documented, and its second seal too."""
    statuses: list[int] = []
    for label in ("GET /cab/cells/{cell_id}", "GET /cab/cells/{cell_id}/calls") + SEAL * 2:
        case = operation_named(label).Case(path_parameters={"cell_id": quote(CELL, safe="")})
        answer = case.call_and_validate(base_url=api, headers={"Authorization": f"Bearer {ADMIN}"})
        statuses.append(answer.status_code)
    assert statuses == [200, 200, 200, 409]


def test_the_document_is_served(api: str) -> None:
    """A client gets the very document, without any key."""
    with urllib.request.urlopen(f"{api}/cab/openapi.json", timeout=60) as answer:
        assert orjson.loads(answer.read()) == DOCUMENT
