"""SWEEP.toml: what is read, and how errors name file and key."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.adapters.runs.spec import TIMEOUT_S
from cab.adapters.sweeps.sweepfile import BadSweep, SweepFile, load_sweep

LEAST = """
name = "s"
models = ["m"]
agents = ["scripted"]
tasks = ["polyglot/*"]
"""


def loaded(folder: Path, text: str) -> SweepFile:
    """Return the sweep of a text."""
    file = folder / "sweep.toml"
    file.write_text(text)
    return load_sweep(file)


def test_least(tmp_path: Path) -> None:
    """Four keys are enough; the others have defaults."""
    sweep = loaded(tmp_path, LEAST)

    assert (sweep.name, sweep.models, sweep.runs, sweep.jobs) == ("s", ["m"], 1, 1)
    assert (sweep.timeout_s, sweep.retries, sweep.upstream) == (TIMEOUT_S, 2, None)
    assert set(sweep.budget.model_dump().values()) == {None}


def test_all(tmp_path: Path) -> None:
    """Whole numbers do for seconds; money is text and stays exact."""
    sweep = loaded(
        tmp_path,
        f"{LEAST}timeout_s = 60\nretry_wait_s = 0\nplugins = ['p']\n"
        "[budget]\ntokens = 10\ncalls = 2\nusd = '0.10'\nwall_s = 3600\n[limits]\nusd = '1'\n",
    )

    assert (sweep.timeout_s, sweep.retry_wait_s) == (60, 0)
    assert (sweep.budget.usd, sweep.budget.wall_s) == (Decimal("0.10"), 3600)
    assert (sweep.limits.usd, sweep.limits.tokens) == (Decimal(1), None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LEAST + "modles = []", "modles: is not a key of a sweep file; did you mean 'models'?"),
        (LEAST + "xyzzy = 1", "xyzzy: is not a key of a sweep file; remove it"),
        (LEAST + "[budget]\ntoken = 1", "budget.token: is not a key of a sweep file; did you mean"),
        (LEAST.replace('name = "s"', ""), "name: is missing; add it"),
        (LEAST.replace('"s"', '"a/b"'), "name: must be letters, digits"),
        (LEAST.replace('["m"]', "[]"), "models: List should have at least 1 item"),
        (LEAST.replace('["m"]', '["m", "m"]'), "models: 'm' is listed twice"),
        (LEAST.replace('["m"]', '"m"'), "models: Input should be a valid list"),
        (LEAST + "runs = 0", "runs: Input should be greater than or equal to 1"),
        (LEAST + "runs = true", "runs: Input should be a valid integer"),
        (LEAST + "retries = -1", "retries: Input should be greater"),
        (LEAST + "timeout_s = inf", "timeout_s: Input should be a finite number"),
        (LEAST + "timeout_s = nan", "timeout_s: Input should be a finite number"),
        (LEAST + "retry_wait_s = inf", "retry_wait_s: Input should be a finite number"),
        (LEAST + "retry_wait_s = nan", "retry_wait_s: Input should be a finite number"),
        (LEAST + "[budget]\nwall_s = nan", "budget.wall_s: Input should be a finite number"),
        (LEAST + "[budget]\nusd = 0.1", 'budget.usd: must be an amount as text above 0, such as "'),
        (LEAST + "[limits]\nusd = '0.0'", "limits.usd: must be an amount"),
        (LEAST + "runs =", "is not valid TOML"),
    ],
)
def test_errors(tmp_path: Path, text: str, said: str) -> None:
    """An error names the file, the key and the fix."""
    with pytest.raises(BadSweep) as caught:
        loaded(tmp_path, text)

    assert str(caught.value).startswith(f"{tmp_path / 'sweep.toml'}: {said}")


def test_no_file(tmp_path: Path) -> None:
    """A file that does not exist, or is a folder, is named."""
    with pytest.raises(BadSweep, match=r"none\.toml: does not exist"):
        load_sweep(tmp_path / "none.toml")
    with pytest.raises(BadSweep, match="cannot be read"):
        load_sweep(tmp_path)


@settings(deadline=None, max_examples=60)
@given(
    key=st.sampled_from([*SweepFile.model_fields, "other"]),
    value=st.sampled_from(
        [
            "1",
            "0",
            "-1",
            "1.5",
            "inf",
            "nan",
            "true",
            "''",
            "'x'",
            "[]",
            "[1]",
            "['x']",
            "['x', 'x']",
            "{ a = 1 }",
        ]
    ),
)
def test_any_value(tmp_path_factory: pytest.TempPathFactory, key: str, value: str) -> None:
    """Whatever stands in the file, there is a sweep or an error that names the key."""
    lines = [line for line in LEAST.splitlines() if not line.startswith(f"{key} ")]
    said = ""
    try:
        loaded(tmp_path_factory.mktemp("s"), "\n".join([*lines, f"{key} = {value}"]))
    except BadSweep as error:
        said = str(error)

    assert not said or key in said
